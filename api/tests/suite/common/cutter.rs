//! A proxy to a broker whose connections break at any byte.

use tokio::{
    io::{AsyncReadExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A proxy that forwards a number of the broker's bytes on each connection, and then cuts it.
/// Stopped when dropped.
pub(crate) struct Cutter {
    /// The address where it listens, as a broker's URL.
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl Cutter {
    /// Starts a proxy to the broker at this URL. It calls `bytes` for every connection.
    pub(crate) async fn start(to: &str, mut bytes: impl FnMut() -> u64 + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let broker = to.trim_start_matches("http://").to_owned();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, broker.clone(), bytes()));
            }
        });
        Self { url, task }
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Closes both ends when the bytes are used up, or when one end has left.
async fn pass(mut client: TcpStream, broker: String, bytes: u64) {
    let Ok(mut broker) = TcpStream::connect(broker).await else {
        return;
    };
    let ((mut from_client, mut to_client), (from_broker, mut to_broker)) =
        (client.split(), broker.split());
    let mut limited = from_broker.take(bytes);
    tokio::select! {
        _ = copy(&mut from_client, &mut to_broker) => {}
        _ = copy(&mut limited, &mut to_client) => {}
    }
}
