//! The network between subscribers and the broker delays, cuts connections, or loses everything.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    common::{Broker, Kind},
    fleet::{Fleet, fleet, node},
    proxy::{Proxy, Road},
};

/// A broker, and a fleet that reaches it over a bad link.
async fn over_a_road(kind: Kind) -> (Broker, Proxy, Fleet) {
    let broker = node(kind).start().await;
    let road = Proxy::to_broker(&broker.url).await;
    let fleet = fleet(&[&road.url("http")]).start().await;
    (broker, road, fleet)
}

async fn clients_are_far_away(kind: Kind) {
    let (_broker, road, fleet) = over_a_road(kind).await;
    road.set(Road::LATE);
    fleet.flows().await;
    fleet.flows().await;
    fleet.end_whole().await;
}

async fn clients_are_cut_off_again_and_again(kind: Kind) {
    let (_broker, road, fleet) = over_a_road(kind).await;
    for round in 0..30 {
        road.cut();
        sleep(Duration::from_millis(100)).await;
        if round % 10 == 9 {
            road.refuse(true);
            road.cut();
            sleep(Duration::from_millis(500)).await;
            road.refuse(false);
            fleet.flows().await;
        }
    }
    fleet.end_whole().await;
}

async fn nothing_comes_through_to_or_from_clients_for_a_while(kind: Kind) {
    let (_broker, road, fleet) = over_a_road(kind).await;
    for hole in [Road::BLACK_HOLE, Road::DEAF, Road::MUTE] {
        road.set(hole);
        sleep(Duration::from_secs(3)).await;
        road.set(Road::OPEN);
        fleet.flows().await;
    }
    fleet.end_whole().await;
}

async fn open_connections_of_clients_vanish_for_ever(kind: Kind) {
    let (_broker, road, fleet) = over_a_road(kind).await;
    road.set_existing(Road::BLACK_HOLE);
    fleet.flows().await;
    fleet.end_whole().await;
}

over_every_store!(
    clients_are_far_away,
    clients_are_cut_off_again_and_again,
    nothing_comes_through_to_or_from_clients_for_a_while,
    open_connections_of_clients_vanish_for_ever,
);
