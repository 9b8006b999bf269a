//! A node runs out of file descriptors.

use crate::{
    bad_subscribers::read_nothing,
    common::Kind,
    fleet::{eventually, fleet, node},
    fleet_subscriber::no_subscriber_was_closed,
};

const OPEN_FILES: u32 = 64;

async fn a_node_has_no_descriptor_left_for_new_subscribers(kind: Kind) {
    let mut setup = node(kind);
    setup.open_files = Some(OPEN_FILES);
    let narrow = setup.start().await;
    let wide = narrow.another_node().await;
    let fleet_of_both = fleet(&[&narrow.url, &wide.url]).start().await;
    // All writers have connected to both nodes, also those that write seldom.
    for _ in 0..3 {
        fleet_of_both.flows().await;
    }
    let token = wide.create("crowd").await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        // The system accepts the connection, whether or not the node does.
        crowd.push(read_nothing(&narrow, "sse", "crowd", &token).await);
    }
    let folder = format!("/proc/{}/fd", narrow.process.id().unwrap());
    eventually("all are used", || {
        std::fs::read_dir(&folder).unwrap().count() + 1 >= OPEN_FILES as usize
    })
    .await;
    for _ in 0..5 {
        fleet_of_both.flows().await;
    }
    drop(crowd);
    let others = fleet(&[&narrow.url])
        .key("other")
        .subscribers(6)
        .start()
        .await;
    others.end_whole().await;
    let records = fleet_of_both.end_whole().await;
    assert!(
        no_subscriber_was_closed(&records),
        "no existing subscriber was disconnected"
    );
}

over_each_delivery!(a_node_has_no_descriptor_left_for_new_subscribers);
