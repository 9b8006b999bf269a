//! The network between subscribers and the broker delays, cuts connections, or loses everything.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    common::{Broker, Kind},
    fleet::{Fleet, fleet, node},
    proxy::{Link, Proxy},
};

/// A broker, and a fleet that reaches it over a bad link.
async fn over_a_bad_link(kind: Kind) -> (Broker, Proxy, Fleet) {
    let broker = node(kind).start().await;
    let link = Proxy::to_broker(&broker.url).await;
    let fleet = fleet(&[&link.url("http")]).start().await;
    (broker, link, fleet)
}

async fn subscribers_are_far_away(kind: Kind) {
    let (_broker, link, fleet) = over_a_bad_link(kind).await;
    link.set(Link::LATE);
    fleet.flows().await;
    fleet.flows().await;
    fleet.end_whole().await;
}

async fn subscribers_are_cut_off_repeatedly(kind: Kind) {
    let (_broker, link, fleet) = over_a_bad_link(kind).await;
    for round in 0..30 {
        link.cut();
        sleep(Duration::from_millis(100)).await;
        if round % 10 == 9 {
            link.refuse(true);
            link.cut();
            sleep(Duration::from_millis(500)).await;
            link.refuse(false);
            fleet.flows().await;
        }
    }
    fleet.end_whole().await;
}

async fn nothing_reaches_or_leaves_subscribers_for_a_while(kind: Kind) {
    let (_broker, link, fleet) = over_a_bad_link(kind).await;
    for hole in [Link::BLACK_HOLE, Link::NO_DOWN, Link::NO_UP] {
        link.set(hole);
        sleep(Duration::from_secs(3)).await;
        link.set(Link::OPEN);
        fleet.flows().await;
    }
    fleet.end_whole().await;
}

async fn open_connections_of_subscribers_vanish_for_ever(kind: Kind) {
    let (_broker, link, fleet) = over_a_bad_link(kind).await;
    link.set_existing(Link::BLACK_HOLE);
    fleet.flows().await;
    fleet.end_whole().await;
}

over_each_kind!(
    subscribers_are_far_away,
    subscribers_are_cut_off_repeatedly,
    nothing_reaches_or_leaves_subscribers_for_a_while,
    open_connections_of_subscribers_vanish_for_ever,
);
