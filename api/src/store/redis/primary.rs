//! The server that is written to: the one at an address, the one that Sentinels name, or a Cluster.
//! When another becomes it, all connections are made anew, and whoever waits on an old one is told.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_redis::redis::{
    self, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, TlsMode, Value,
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use futures::future::try_join_all;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{
    connections::{ServerConnections, SharedConnection},
    fault, replies,
};
use crate::{
    config::{Sentinels, Settings, StoreUrl},
    store::{StoreError, StoreFault},
    telemetry::metrics::{Operation, SharedMetrics},
};

/// Attempts of a command that was not run. Only what certainly was not is tried again.
const ATTEMPTS: u32 = 5;

/// The wait before the second attempt, doubled with each.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// How often Sentinels are asked who the primary is, when there is no reason to ask.
const LOOK: Duration = Duration::from_secs(2);

/// The least time between two looks, and between two renewals of the connections to one address.
const PAUSE: Duration = Duration::from_millis(250);

/// The server that is written to, and the connections to it.
pub(super) struct Primary {
    target: Target,
    settings: Settings,
    /// None: no Sentinel has named one yet.
    link: watch::Sender<Option<Arc<ServerConnections>>>,
    turn: AtomicUsize,
    /// Asks for a look at the Sentinels before it is due.
    doubt: Notify,
    renewed: Mutex<Instant>,
    /// A command was answered, by whatever server.
    has_answered: AtomicBool,
    metrics: SharedMetrics,
}

/// An attempt at a command failed.
struct Failed {
    error: StoreError,
    /// The command was run, or may have been.
    was_run: bool,
}

/// Where the primary is to be found.
enum Target {
    Server(Box<ConnectionInfo>),
    Cluster,
    Sentinels,
}

/// Hears of another primary.
pub(super) type PrimaryWatch = watch::Receiver<Option<Arc<ServerConnections>>>;

impl Primary {
    /// Finds the primary at this place; nothing connects before the first command, but for
    /// Sentinels, which must be asked. Those are asked within the runtime that this is called in,
    /// for as long as the primary is there.
    ///
    /// Errors: the URL can't be used.
    pub(super) fn find(settings: &Settings, metrics: SharedMetrics) -> RedisResult<Arc<Self>> {
        let unusable = || RedisError::from((ErrorKind::InvalidClientConfig, "not a Redis URL"));
        let (target, link, sentinels) = match &settings.store {
            StoreUrl::Memory => return Err(unusable()),
            StoreUrl::Redis(url) => {
                let info = url.reveal().as_str().into_connection_info()?;
                let link = ServerConnections::to_server(&info, settings)?;
                (Target::Server(Box::new(info)), Some(link), None)
            }
            StoreUrl::Cluster(nodes) => (
                Target::Cluster,
                Some(ServerConnections::to_cluster(nodes.reveal(), settings)?),
                None,
            ),
            StoreUrl::Sentinels(sentinels) => {
                (Target::Sentinels, None, Some(client(sentinels.reveal())?))
            }
        };
        let primary = Arc::new(Self {
            target,
            settings: settings.clone(),
            link: watch::Sender::new(link.map(Arc::new)),
            turn: AtomicUsize::new(0),
            doubt: Notify::new(),
            renewed: Mutex::new(Instant::now()),
            has_answered: AtomicBool::new(false),
            metrics,
        });
        if let Some(sentinels) = sentinels {
            tokio::spawn(ask(Arc::downgrade(&primary), sentinels));
        }
        Ok(primary)
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster)
    }

    /// Connections of exclusive delivery, and those of them that a client holds.
    pub(super) fn exclusive_size(&self) -> (usize, usize) {
        self.link
            .borrow()
            .as_ref()
            .map_or((0, 0), |link| link.exclusive_size())
    }

    /// The connections as they are now, and when they change.
    pub(super) fn primaries(&self) -> PrimaryWatch {
        self.link.subscribe()
    }

    /// Runs a command on one of the fixed connections. One that was not run is tried again, a write
    /// too: a manager whose last attempt to connect was refused fails the next command before it
    /// tries anew, primaries change, and a Cluster's slots move.
    pub(super) async fn run<F, Fut>(
        &self,
        operation: Operation,
        command: F,
    ) -> Result<Value, StoreError>
    where
        F: Fn(SharedConnection) -> Fut,
        Fut: Future<Output = RedisResult<Value>>,
    {
        // The same one each time: every manager has a refusal of its own to get rid of.
        let turn = self.turn();
        let (mut attempt, mut wait) = (1, FIRST_WAIT);
        loop {
            match self.attempt(operation, turn, &command).await {
                Ok(value) => return Ok(value),
                Err(Failed { error, was_run }) if was_run || attempt == ATTEMPTS => {
                    return Err(error);
                }
                Err(_) => {}
            }
            sleep(wait).await;
            (attempt, wait) = (attempt + 1, wait * 2);
        }
    }

    /// Runs commands that read, each of a key of its own, in one round trip. None in the place of a
    /// key of another type, which does not fail the others.
    pub(super) async fn run_all(
        &self,
        operation: Operation,
        asks: Vec<Cmd>,
    ) -> Result<Vec<Option<Value>>, StoreError> {
        if self.is_cluster() {
            // A pipeline goes to one node; these go to all.
            let ask = |ask: Cmd| async move {
                let ask = &ask;
                match self
                    .run(operation, |mut connection| async move {
                        ask.query_async(&mut connection).await
                    })
                    .await
                {
                    Err(StoreError::Refused {
                        fault: StoreFault::WrongType,
                        ..
                    }) => Ok(None),
                    answer => answer.map(Some),
                }
            };
            return try_join_all(asks.into_iter().map(ask)).await;
        }
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for ask in asks {
            pipeline.add_command(ask);
        }
        let pipeline = &pipeline;
        let answers = self
            .run(operation, |mut connection| async move {
                let replies = pipeline.query_async::<Vec<Value>>(&mut connection).await?;
                let replies = replies::of_right_type(replies)?.into_iter();
                // Nil is an answer of its own, so that each is wrapped.
                Ok(Value::Array(
                    replies
                        .map(|reply| Value::Array(reply.into_iter().collect()))
                        .collect(),
                ))
            })
            .await?;
        let Value::Array(answers) = answers else {
            return Err(StoreError::Unexpected("not the answers to a pipeline"));
        };
        let answer = |answer| match answer {
            Value::Array(mut items) => Ok(items.pop()),
            _ => Err(StoreError::Unexpected("not the answers to a pipeline")),
        };
        answers.into_iter().map(answer).collect()
    }

    /// The same as [`Self::run`], again and again until something else than the lack of a
    /// connection ends it. `last` is why the last attempt failed, for a caller whose patience ends
    /// before.
    pub(super) async fn insist<F, Fut>(
        &self,
        operation: Operation,
        last: &Mutex<Option<StoreError>>,
        command: F,
    ) -> Result<Value, StoreError>
    where
        F: Fn(SharedConnection) -> Fut,
        Fut: Future<Output = RedisResult<Value>>,
    {
        let turn = self.turn();
        loop {
            match self.attempt(operation, turn, &command).await {
                Ok(value) => return Ok(value),
                Err(Failed {
                    error,
                    was_run: true,
                }) => return Err(error),
                Err(Failed { error, .. }) => {
                    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
            sleep(FIRST_WAIT).await;
        }
    }

    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    async fn attempt<F, Fut>(
        &self,
        operation: Operation,
        turn: usize,
        command: &F,
    ) -> Result<Value, Failed>
    where
        F: Fn(SharedConnection) -> Fut,
        Fut: Future<Output = RedisResult<Value>>,
    {
        let Some(link) = self.link.borrow().clone() else {
            let error = StoreError::Unavailable("no Sentinel has named a primary yet".to_owned());
            return Err(Failed {
                error,
                was_run: false,
            });
        };
        let begun = Instant::now();
        let fixed = link.fixed(turn);
        let answer = command(fixed.connection.clone()).await;
        self.metrics
            .redis
            .attempt(operation, begun.elapsed(), answer.is_err());
        let error = match answer {
            Ok(value) => {
                self.has_answered.store(true, Ordering::Relaxed);
                return Ok(value);
            }
            Err(error) => error,
        };
        let failed = fault::failed(&error);
        // A connection to a Cluster leads to all of its nodes, of which the others answer.
        if !self.is_cluster() && (error.is_timeout() || is_of_login(&error, &failed)) {
            link.renew(turn, &fixed);
        }
        let is_current = self
            .link
            .borrow()
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, &link));
        if is_current && error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
            self.look_elsewhere();
        } else if error.is_io_error() {
            self.doubt.notify_one();
        }
        Err(Failed {
            error: failed,
            was_run: !was_not_run(&error),
        })
    }

    /// Why nothing came in time.
    pub(super) fn silence(&self) -> StoreError {
        match fault::silent() {
            // A server without TLS waits for the end of a line, which a handshake may not have.
            StoreError::Refused { detail, .. }
                if self.is_tls() && !self.has_answered.load(Ordering::Relaxed) =>
            {
                StoreError::Refused {
                    fault: StoreFault::TlsSilent,
                    detail,
                }
            }
            error => error,
        }
    }

    fn is_tls(&self) -> bool {
        matches!(&self.target, Target::Server(info) if matches!(info.addr(), ConnectionAddr::TcpTls { .. }))
    }

    /// Looks for the primary elsewhere: a replica has answered. A server that has become one goes
    /// on answering reads, so that nothing else would end the connections to it.
    pub(super) fn look_elsewhere(&self) {
        match &self.target {
            Target::Sentinels => self.doubt.notify_one(),
            // Its name may stand for another server by now, or a proxy lead to one.
            Target::Server(info) => {
                let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
                if renewed.elapsed() > PAUSE {
                    *renewed = Instant::now();
                    tracing::warn!("Redis has become a replica; connecting anew");
                    self.lead(info);
                }
            }
            // The connections to a Cluster know of its replicas.
            Target::Cluster => {}
        }
    }

    /// Goes to this server from now on.
    fn lead(&self, info: &ConnectionInfo) {
        match ServerConnections::to_server(info, &self.settings) {
            Ok(link) => {
                self.metrics.redis.primary_changes.inc();
                self.link.send_replace(Some(Arc::new(link)));
            }
            Err(error) => tracing::error!(%error, "the primary can't be connected to"),
        }
    }
}

/// Whether the command certainly was not run: it found no connection, or a server that had it said
/// that it is another's to run, or not now.
fn was_not_run(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            Ask | BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain
        ),
        ErrorKind::ClusterConnectionNotFound => true,
        _ => error.is_connection_refusal(),
    }
}

/// Whether the connection was made but not accepted: a wrong password, say. The library keeps such
/// a failure for ever, also when the server would accept the connection by now.
fn is_of_login(error: &RedisError, failed: &StoreError) -> bool {
    use StoreFault::{Connections, Credentials, Database, Protected};
    let of_server = matches!(
        failed,
        StoreError::Refused {
            fault: Connections | Credentials | Database | Protected,
            ..
        }
    );
    of_server || !error.is_io_error() && error.clone().into_server_errors().is_none()
}

/// Who asks the Sentinels.
fn client(sentinels: &Sentinels) -> RedisResult<SentinelClient> {
    let server = sentinels.server.as_str().into_connection_info()?;
    let mut node = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(server.redis_settings().clone())
        .set_tcp_settings(TcpSettings::default().set_nodelay(true));
    if matches!(server.addr(), ConnectionAddr::TcpTls { .. }) {
        node = node.set_tls_mode(TlsMode::Secure);
    }
    SentinelClient::build(
        sentinels.nodes.clone(),
        sentinels.service.clone(),
        Some(node),
        SentinelServerType::Master,
    )
}

/// Asks the Sentinels who the primary is, from time to time and when there is doubt. They check
/// that it says so itself.
async fn ask(primary: Weak<Primary>, mut sentinels: SentinelClient) {
    let mut known: Option<ConnectionAddr> = None;
    let mut silent = false;
    loop {
        let Some(patience) = primary
            .upgrade()
            .map(|primary| primary.settings.redis_timeout)
        else {
            return;
        };
        let answer = timeout(patience, sentinels.async_get_client()).await;
        let Some(primary) = primary.upgrade() else {
            return;
        };
        match answer
            .map_err(|_| "no answer in time".to_owned())
            .and_then(|answer| answer.map_err(|error| error.to_string()))
        {
            Ok(client) => {
                let info = client.get_connection_info();
                if known.as_ref() != Some(info.addr()) {
                    tracing::info!(address = %info.addr(), "the Sentinels have named the primary");
                    known = Some(info.addr().clone());
                    primary.lead(info);
                }
                silent = false;
            }
            // Said once: while there is no primary this fails again and again.
            Err(detail) if !silent => {
                tracing::warn!(%detail, "the Sentinels name no primary");
                silent = true;
            }
            Err(_) => {}
        }
        sleep(PAUSE).await;
        // Nothing is lost if the primary goes meanwhile: the wait is finite.
        let _ = timeout(LOOK, primary.doubt.notified()).await;
    }
}
