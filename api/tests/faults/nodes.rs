//! Nodes are killed, stopped and replaced, while their subscribers and writers move to the others.

use crate::{
    common::{Broker, Kind},
    fleet::{fleet, node, urls},
};

async fn three(kind: Kind) -> Vec<Broker> {
    let first = node(kind).start().await;
    let others = [first.another_node().await, first.another_node().await];
    [first].into_iter().chain(others).collect()
}

async fn of_three_nodes_one_is_killed_and_one_stopped(kind: Kind) {
    let mut nodes = three(kind).await;
    // The fleet gets no notice: it detects the failure itself.
    let fleet = fleet(&urls(&nodes)).subscribers(12).start().await;
    let killed = nodes.remove(0);
    killed.signal("-KILL").await;
    fleet.flows().await;
    assert_eq!(nodes.remove(0).stop("-TERM").await.0, Some(0));
    fleet.flows().await;
    fleet.end_whole().await;
}

async fn all_nodes_are_replaced_in_turn(kind: Kind) {
    let mut nodes = three(kind).await;
    let fleet = fleet(&urls(&nodes)).subscribers(12).start().await;
    for turn in 0..3 {
        let replacement = nodes[turn].another_node().await;
        let old = std::mem::replace(&mut nodes[turn], replacement);
        fleet.go_to(&urls(&nodes));
        assert_eq!(old.stop("-TERM").await.0, Some(0));
        fleet.flows().await;
    }
    let records = fleet.end_whole().await;
    assert!(
        records.iter().all(|record| record.visits > 1),
        "every subscriber was moved"
    );
}

over_each_delivery!(
    of_three_nodes_one_is_killed_and_one_stopped,
    all_nodes_are_replaced_in_turn
);
