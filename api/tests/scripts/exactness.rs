//! Exactness under cuts: with a `message` hook each event still comes once, in order.

use serde_json::json;

use crate::{
    common::{
        Kind,
        cutting_proxy::CuttingProxy,
        number,
        seed::Seed,
        subscriber::{Subscriber, Transport},
    },
    harness::scripted,
};

/// Drops each event whose number is divisible by 3, and marks the others.
const SCRIPT: &str = "function message(pub, sub)
  if tonumber(pub.msg.data) % 3 == 0 then return nil end
  pub.msg.data = pub.msg.data .. ';'
  return pub
end";

const EVENTS: u64 = 600;

async fn every_event_comes_once_through_cuts(kind: Kind) {
    let node = scripted(kind, SCRIPT).await;
    let seed = Seed::new();
    for rollup in ["", "&rollup=n"] {
        for transport in Transport::ALL {
            let key = format!("{}{}", transport.name(), rollup.len());
            let create = json!({"key": key, "max_events": 10_000});
            let open = node.create_with(create).await;
            let mut random = fastrand::Rng::with_seed(seed.0);
            // Few bytes cut often. Many let a large answer pass.
            let bytes = move || {
                let most = if random.bool() { 4_000 } else { 200_000 };
                random.u64(300..most)
            };
            let proxy = CuttingProxy::start(&node.url, bytes).await;
            let subscriber = Subscriber::at(&proxy.url, transport, [&key], &open);
            let mut subscriber = subscriber.with(format!("&events=*{rollup}"));
            let writing = async {
                for n in 0..EVENTS / 20 {
                    node.add_events(&key, n * 20, 20).await;
                }
                node.end(&key).await;
            };
            let (updates, ()) = tokio::join!(subscriber.rest(), writing);
            let about = format!("{transport:?} {rollup}");
            let user: Vec<_> = updates.iter().filter(|update| update.is("n")).collect();
            let data: String = user.iter().map(|update| update.data.as_str()).collect();
            let kept = (0..EVENTS).filter(|n| n % 3 != 0);
            let wanted: Vec<_> = kept.map(|n| format!("{n};")).collect();
            assert_eq!(data, wanted.concat(), "{about}");
            let ids: Vec<_> = user
                .iter()
                .filter_map(|update| update.id.as_deref())
                .collect();
            assert!(ids.is_sorted_by_key(|id| number(id)), "{about}: {ids:?}");
            assert!(
                !updates.iter().any(|update| update.is("missedevents")),
                "{about}"
            );
            let ends = updates.iter().filter(|update| update.is("end"));
            assert_eq!(ends.count(), 1, "{about}");
        }
    }
}

over_each_kind! { every_event_comes_once_through_cuts }
