//! The addresses that count as one subscriber's.

use std::net::{IpAddr, Ipv6Addr};

/// The network half of an IPv6 address ([RFC 4291,
/// 2.5.4](https://www.rfc-editor.org/rfc/rfc4291#section-2.5.4)).
const NETWORK: u128 = u128::MAX << 64;

/// Addresses that count as one: an IPv4 address, or the /64 of an IPv6 address. Providers give each
/// customer a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AddressBlock(IpAddr);

impl From<IpAddr> for AddressBlock {
    fn from(address: IpAddr) -> Self {
        // A socket for both families gives IPv4 addresses as IPv6 ones, all of the same /64.
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
            address @ IpAddr::V4(_) => address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_customer_count_as_one() {
        let same = |a: &str, b: &str| {
            AddressBlock::from(a.parse::<IpAddr>().unwrap())
                == AddressBlock::from(b.parse::<IpAddr>().unwrap())
        };
        assert!(same("192.0.2.1", "192.0.2.1") && same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert!(!same("192.0.2.1", "192.0.2.2") && !same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1") && !same("::1", "127.0.0.1"));
    }
}
