//! A fleet of writers and subscribers moves back and forth between two versions.

use crate::{
    common::{Broker, Kind},
    fleet::{fleet, urls},
    pair::{
        Pair,
        Version::{New, Old},
        beside, node,
    },
    proxy::Proxy,
};

/// The test cuts all connections to one node, then all to the other, and so on. Each time the
/// writers and subscribers continue at the other version. They keep tokens and cursors, and
/// sequence numbers of which some are confirmed.
async fn a_fleet_moves_back_and_forth(pair: Pair) {
    let links = [
        Proxy::to_broker(&pair.first.url).await,
        Proxy::to_broker(&pair.second.url).await,
    ];
    let fleet = fleet(&[&links[0].url("http"), &links[1].url("http")])
        .subscribers(12)
        .start()
        .await;
    for _ in 0..3 {
        for link in &links {
            link.cut();
            fleet.flows().await;
        }
    }
    let records = fleet.end_whole().await;
    assert!(
        records.iter().all(|record| record.visits > 3),
        "every subscriber was moved"
    );
}

between_versions!(a_fleet_moves_back_and_forth);
// Keyed subscribers follow streams of several slots, which exclusive delivery on a Cluster refuses.
between_versions!(cluster: Cluster, Cluster; a_fleet_moves_back_and_forth);

/// A rolling upgrade of all nodes, and the way back.
async fn a_fleet_survives_an_upgrade_and_a_rollback(old: Kind, new: Kind) {
    let first = node(Old, old).start().await;
    let mut nodes: Vec<Broker> = vec![beside(&first, Old, old).start().await, first];
    let fleet = fleet(&urls(&nodes)).subscribers(12).start().await;
    for (version, kind) in [(New, new), (Old, old)] {
        for turn in 0..nodes.len() {
            let replacement = beside(&nodes[turn], version, kind).start().await;
            let before = std::mem::replace(&mut nodes[turn], replacement);
            fleet.go_to(&urls(&nodes));
            assert_eq!(before.stop("-TERM").await.0, Some(0));
            fleet.flows().await;
        }
    }
    let records = fleet.end_whole().await;
    assert!(
        records.iter().all(|record| record.visits > 1),
        "every subscriber was moved"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_nodes_are_upgraded_and_rolled_back() {
    a_fleet_survives_an_upgrade_and_a_rollback(Kind::Exclusive, Kind::Exclusive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_nodes_are_upgraded_and_rolled_back() {
    a_fleet_survives_an_upgrade_and_a_rollback(Kind::Shared, Kind::Shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_nodes_are_upgraded_to_shared_ones_and_rolled_back() {
    a_fleet_survives_an_upgrade_and_a_rollback(Kind::Exclusive, Kind::Shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_nodes_of_a_cluster_are_upgraded_and_rolled_back() {
    a_fleet_survives_an_upgrade_and_a_rollback(Kind::Cluster, Kind::Cluster).await;
}
