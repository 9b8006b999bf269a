//! A proxy that breaks connections and loses responses.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Forwards connections to a broker.
pub(crate) struct Proxy {
    pub(crate) url: String,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// Breaks the first connection after this many bytes of the broker, the second after twice as
    /// many, and so on.
    pub(crate) async fn cutting(broker: &str, after: usize) -> Self {
        Self::start(broker, move |number| Fault::CutAfter(after * (number + 1))).await
    }

    /// Loses the first response to a request that contains this text.
    pub(crate) async fn losing(broker: &str, text: &'static str) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        Self::start(broker, move |_| Fault::Lose(text, Arc::clone(&lost))).await
    }

    async fn start(broker: &str, fault: impl Fn(usize) -> Fault + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let broker = broker.trim_start_matches("http://").to_owned();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                let fault = fault(count.fetch_add(1, Ordering::Relaxed));
                let broker = TcpStream::connect(&broker)
                    .await
                    .expect("the broker listens");
                tokio::spawn(pass(client, broker, fault));
            }
        });
        Self { url, connections }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

enum Fault {
    CutAfter(usize),
    Lose(&'static str, Arc<AtomicBool>),
}

/// Forwards bytes until either side, or the fault, ends the connection. Then both sides are closed.
async fn pass(mut client: TcpStream, mut broker: TcpStream, fault: Fault) {
    let (mut request, mut response) = ([0; 4096], [0; 4096]);
    let mut passed = 0;
    let mut lose = false;
    loop {
        tokio::select! {
            Ok(read @ 1..) = client.read(&mut request) => {
                if let Fault::Lose(text, lost) = &fault {
                    let holds_it = String::from_utf8_lossy(&request[..read]).contains(text);
                    lose |= holds_it && !lost.swap(true, Ordering::Relaxed);
                }
                if broker.write_all(&request[..read]).await.is_err() {
                    return;
                }
            }
            Ok(mut read @ 1..) = broker.read(&mut response) => {
                if lose {
                    return;
                }
                if let Fault::CutAfter(limit) = &fault {
                    read = read.min(limit - passed);
                    passed += read;
                }
                let is_cut = matches!(&fault, Fault::CutAfter(limit) if passed == *limit);
                if client.write_all(&response[..read]).await.is_err() || is_cut {
                    return;
                }
            }
            else => return,
        }
    }
}
