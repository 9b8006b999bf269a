//! A TCP proxy whose link can be made bad while it is in use.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// How the link treats bytes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Pass,
    /// The bytes come this much later.
    Delay(Duration),
    /// A black hole: the bytes do not come, and neither side is notified. They come late when the
    /// black hole ends, as with TCP retransmissions.
    Hold,
}

/// The delay of bytes on a long link.
const LATE: Duration = Duration::from_millis(50);

/// The condition of both directions: `up` from the peer that connected, `down` to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) up: Flow,
    pub(crate) down: Flow,
}

impl Link {
    pub(crate) const OPEN: Self = Self {
        up: Flow::Pass,
        down: Flow::Pass,
    };
    pub(crate) const LATE: Self = Self {
        up: Flow::Delay(LATE),
        down: Flow::Delay(LATE),
    };
    /// The peer that connected receives nothing.
    pub(crate) const NO_DOWN: Self = Self {
        up: Flow::Pass,
        down: Flow::Hold,
    };
    /// Nothing from the peer that connected arrives.
    pub(crate) const NO_UP: Self = Self {
        up: Flow::Hold,
        down: Flow::Pass,
    };
    pub(crate) const BLACK_HOLE: Self = Self {
        up: Flow::Hold,
        down: Flow::Hold,
    };
}

/// The destination of a proxy.
#[derive(Clone)]
pub(crate) enum Target {
    /// A host and port.
    Tcp(String),
    Unix(PathBuf),
}

/// A listener that forwards its connections to the target. Closed when dropped, with its
/// connections.
pub(crate) struct Proxy {
    port: u16,
    listener: JoinHandle<()>,
    state: Arc<State>,
}

struct State {
    /// The condition for new connections.
    link: Mutex<Link>,
    refuses: AtomicBool,
    connections: Mutex<Vec<Connection>>,
    /// How many connections have ever subscribed to a channel of Redis.
    subscriptions: AtomicUsize,
}

struct Connection {
    link: watch::Sender<Link>,
    /// Whether it has subscribed to a channel of Redis.
    subscribes: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

impl Proxy {
    pub(crate) async fn start(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            link: Mutex::new(Link::OPEN),
            refuses: AtomicBool::new(false),
            connections: Mutex::default(),
            subscriptions: AtomicUsize::new(0),
        });
        let listener = tokio::spawn(listen(listener, target, Arc::clone(&state)));
        Self {
            port,
            listener,
            state,
        }
    }

    /// Starts a proxy to the broker at this URL.
    pub(crate) async fn to_broker(url: &str) -> Self {
        Self::start(Target::Tcp(url.trim_start_matches("http://").to_owned())).await
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// From now on all connections have this link.
    pub(crate) fn set(&self, link: Link) {
        *self
            .state
            .link
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = link;
        self.set_existing(link);
    }

    /// The existing connections have this link from now on. New ones are not affected.
    pub(crate) fn set_existing(&self, link: Link) {
        self.connections()
            .iter()
            .for_each(|connection| _ = connection.link.send_replace(link));
    }

    /// The existing connections that have subscribed to a channel of Redis have this link from now
    /// on.
    pub(crate) fn set_subscriptions(&self, link: Link) {
        let subscribed = |connection: &&Connection| connection.subscribes.load(Ordering::Relaxed);
        self.connections()
            .iter()
            .filter(subscribed)
            .for_each(|connection| _ = connection.link.send_replace(link));
    }

    /// How many connections have ever subscribed to a channel of Redis.
    pub(crate) fn subscriptions(&self) -> usize {
        self.state.subscriptions.load(Ordering::Relaxed)
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.connections().clear();
    }

    /// Sets whether new connections are cut off at once.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::Relaxed);
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.state
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(listener: TcpListener, target: Target, state: Arc<State>) {
    while let Ok((near, _)) = listener.accept().await {
        if state.refuses.load(Ordering::Relaxed) {
            continue;
        }
        // The lock is held until the connection is registered, so that it misses no change of the
        // link.
        let mut connections = state
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let link = watch::Sender::new(*state.link.lock().unwrap_or_else(PoisonError::into_inner));
        let subscribes = Arc::new(AtomicBool::new(false));
        let (target, links) = (target.clone(), (link.subscribe(), link.subscribe()));
        let (subscribed, shared) = (Arc::clone(&subscribes), Arc::clone(&state));
        let task = tokio::spawn(async move {
            let Ok((far_out, far_in)) = connect(&target).await else {
                return;
            };
            let _ = near.set_nodelay(true);
            let (near_out, near_in) = near.into_split();
            // When one side is done, the other has nothing to wait for. All data in transit has
            // been forwarded.
            let _ = tokio::select! {
                done = pump(near_out, far_in, links.0, |link| link.up, |bytes| {
                    let subscribes = bytes.windows(9).any(|window| window == b"SUBSCRIBE");
                    if subscribes && !subscribed.swap(true, Ordering::Relaxed) {
                        shared.subscriptions.fetch_add(1, Ordering::Relaxed);
                    }
                }) => done,
                done = pump(far_out, near_in, links.1, |link| link.down, |_| ()) => done,
            };
        });
        connections.retain(|connection| !connection.task.is_finished());
        connections.push(Connection {
            link,
            subscribes,
            task,
        });
    }
}

type Halves = (
    Box<dyn AsyncRead + Send + Unpin>,
    Box<dyn AsyncWrite + Send + Unpin>,
);

async fn connect(target: &Target) -> io::Result<Halves> {
    Ok(match target {
        Target::Tcp(address) => {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            let (out, into) = socket.into_split();
            (Box::new(out), Box::new(into))
        }
        Target::Unix(path) => {
            let (out, into) = UnixStream::connect(path).await?.into_split();
            (Box::new(out), Box::new(into))
        }
    })
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut link: watch::Receiver<Link>,
    direction: fn(&Link) -> Flow,
    listen: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut bytes = vec![0; 65_536];
    loop {
        let count = from.read(&mut bytes).await?;
        listen(&bytes[..count]);
        // A black hole hides even the end of a connection.
        let flow = match link.wait_for(|link| direction(link) != Flow::Hold).await {
            Ok(link) => direction(&link),
            Err(_) => return Ok(()),
        };
        if let Flow::Delay(time) = flow {
            tokio::time::sleep(time).await;
        }
        if count == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}
