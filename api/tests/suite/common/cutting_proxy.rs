//! A proxy to a broker whose connections break at any byte.

use tokio::{
    io::{AsyncReadExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A proxy that forwards a number of the broker's bytes on each connection, and then cuts it.
/// Stopped when dropped.
pub(crate) struct CuttingProxy {
    /// The address where it listens, as a broker's URL.
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl CuttingProxy {
    /// Starts a proxy to the broker at this URL. It calls `bytes` for every connection.
    pub(crate) async fn start(to: &str, mut bytes: impl FnMut() -> u64 + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let broker = to.trim_start_matches("http://").to_owned();
        let task = tokio::spawn(async move {
            while let Ok((subscriber, _)) = listener.accept().await {
                tokio::spawn(pass(subscriber, broker.clone(), bytes()));
            }
        });
        Self { url, task }
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Closes both ends when the bytes are used up, or when one end has left.
async fn pass(mut subscriber: TcpStream, broker: String, bytes: u64) {
    let Ok(mut broker) = TcpStream::connect(broker).await else {
        return;
    };
    let ((mut from_subscriber, mut to_subscriber), (from_broker, mut to_broker)) =
        (subscriber.split(), broker.split());
    let mut limited = from_broker.take(bytes);
    tokio::select! {
        _ = copy(&mut from_subscriber, &mut to_broker) => {}
        _ = copy(&mut limited, &mut to_subscriber) => {}
    }
}
