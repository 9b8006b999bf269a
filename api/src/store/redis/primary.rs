//! The server that the broker writes to, and how commands are run on it.
//!
//! It is the server at an address, the primary that Sentinels name, or a Cluster. When another
//! server becomes the primary, all connections are replaced, and callers that wait on an old one
//! are woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_redis::redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, Value,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use super::{
    connections::{ServerConnections, SharedConnection},
    fault, sentinel,
};
use crate::{
    config::{Settings, StoreUrl},
    store::{StoreError, StoreFault},
    telemetry::metrics::{Operation, SharedMetrics},
};

/// Attempts at a command that was not run. A command that may have been run is not tried again.
const ATTEMPTS: u32 = 5;

/// The delay before the second attempt. It doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// The least time between two replacements of the connections to one address.
const MIN_REPLACE_INTERVAL: Duration = Duration::from_millis(250);

/// The server that the broker writes to, and the connections to it.
pub(super) struct Primary {
    target: Target,
    settings: Settings,
    /// None: no Sentinel has named a primary yet.
    current: watch::Sender<Option<Arc<ServerConnections>>>,
    /// The fixed connection for the next command.
    next: AtomicUsize,
    /// Makes the Sentinels' task ask again at once, and ends it when it is dropped.
    recheck: Arc<Notify>,
    replaced_at: Mutex<Instant>,
    /// Some server has answered a command.
    has_answered: AtomicBool,
    metrics: SharedMetrics,
}

/// An attempt at a command failed.
struct Failed {
    error: StoreError,
    /// The command was run, or may have been.
    may_have_run: bool,
}

/// How to find the primary.
enum Target {
    Server(Box<ConnectionInfo>),
    Cluster,
    Sentinels,
}

/// The connections to the primary, with a notification when they are replaced.
pub(super) type PrimaryWatch = watch::Receiver<Option<Arc<ServerConnections>>>;

impl Primary {
    /// Finds the primary of the settings. A server or a Cluster is connected to at the first
    /// command. For Sentinels it spawns a task that asks them as long as this value exists, so it
    /// must be called within a runtime.
    ///
    /// Errors: the URL can't be used.
    pub(super) fn find(settings: &Settings, metrics: SharedMetrics) -> RedisResult<Arc<Self>> {
        let unusable = || RedisError::from((ErrorKind::InvalidClientConfig, "not a Redis URL"));
        let (target, connections, sentinels) = match &settings.store {
            StoreUrl::Memory => return Err(unusable()),
            StoreUrl::Redis(url) => {
                let info = url.reveal().as_str().into_connection_info()?;
                let connections = ServerConnections::to_server(&info, settings)?;
                (Target::Server(Box::new(info)), Some(connections), None)
            }
            StoreUrl::Cluster(nodes) => (
                Target::Cluster,
                Some(ServerConnections::to_cluster(nodes.reveal(), settings)?),
                None,
            ),
            StoreUrl::Sentinels(sentinels) => {
                let client = sentinel::client(sentinels.reveal())?;
                (Target::Sentinels, None, Some(client))
            }
        };
        let primary = Arc::new(Self {
            target,
            settings: settings.clone(),
            current: watch::Sender::new(connections.map(Arc::new)),
            next: AtomicUsize::new(0),
            recheck: Arc::default(),
            replaced_at: Mutex::new(Instant::now()),
            has_answered: AtomicBool::new(false),
            metrics,
        });
        if let Some(sentinels) = sentinels {
            let weak = Arc::downgrade(&primary);
            tokio::spawn(sentinel::watch(
                sentinels,
                settings.redis_timeout,
                Arc::downgrade(&primary.recheck),
                move |info| {
                    if let Some(primary) = weak.upgrade() {
                        primary.switch_to(info);
                    }
                },
            ));
        }
        Ok(primary)
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster)
    }

    /// The connections of exclusive delivery, and how many of them a subscriber holds.
    pub(super) fn exclusive_size(&self) -> (usize, usize) {
        self.current
            .borrow()
            .as_ref()
            .map_or((0, 0), |connections| connections.exclusive_size())
    }

    /// The current connections, with a notification when they are replaced.
    pub(super) fn watch(&self) -> PrimaryWatch {
        self.current.subscribe()
    }

    /// Runs one command, as [`Self::run`] does.
    pub(super) async fn query(
        &self,
        operation: Operation,
        command: &Cmd,
    ) -> Result<Value, StoreError> {
        self.run(operation, |mut connection| async move {
            command.query_async(&mut connection).await
        })
        .await
    }

    /// Runs commands on one of the fixed connections. Commands that were not run are tried again,
    /// writes too. That is needed in three cases: a connection manager fails one command after a
    /// refused attempt to connect; another server becomes the primary; a Cluster moves a slot.
    ///
    /// Errors: the last attempt's.
    pub(super) async fn run<T, F, Fut>(
        &self,
        operation: Operation,
        command: F,
    ) -> Result<T, StoreError>
    where
        F: Fn(SharedConnection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        // The same connection for each attempt: every manager has its own refusal to report first.
        let index = self.next_index();
        let (mut attempt, mut delay) = (1, FIRST_DELAY);
        loop {
            match self.attempt(operation, index, &command).await {
                Ok(answer) => return Ok(answer),
                Err(failed) if failed.may_have_run || attempt == ATTEMPTS => {
                    return Err(failed.error);
                }
                Err(_) => {}
            }
            sleep(delay).await;
            (attempt, delay) = (attempt + 1, delay * 2);
        }
    }

    /// The same as [`Self::run`], with attempts until the command may have been run. The caller
    /// sets the deadline; until then `last` holds the error of the last attempt.
    pub(super) async fn run_until_answered<T, F, Fut>(
        &self,
        operation: Operation,
        last: &Mutex<Option<StoreError>>,
        command: F,
    ) -> Result<T, StoreError>
    where
        F: Fn(SharedConnection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let index = self.next_index();
        loop {
            match self.attempt(operation, index, &command).await {
                Ok(answer) => return Ok(answer),
                Err(failed) if failed.may_have_run => return Err(failed.error),
                Err(failed) => *last.lock() = Some(failed.error),
            }
            sleep(FIRST_DELAY).await;
        }
    }

    fn next_index(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn attempt<T, F, Fut>(
        &self,
        operation: Operation,
        index: usize,
        command: &F,
    ) -> Result<T, Failed>
    where
        F: Fn(SharedConnection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let Some(connections) = self.current.borrow().clone() else {
            let error = StoreError::Unavailable("no Sentinel has named a primary yet".to_owned());
            return Err(Failed {
                error,
                may_have_run: false,
            });
        };
        let begun = Instant::now();
        let fixed = connections.fixed(index);
        let answers_before = fixed.answers();
        let answer = command(fixed.connection.clone()).await;
        self.metrics
            .redis
            .attempt(operation, begun.elapsed(), answer.is_err());
        let error = match answer {
            Ok(answer) => {
                fixed.count_answer();
                self.has_answered.store(true, Ordering::Relaxed);
                return Ok(answer);
            }
            Err(error) => error,
        };
        let failed = fault::from_redis(&error);
        let must_be_replaced = if error.is_timeout() {
            // A connection to a Cluster leads to all of its nodes. While other nodes answer, it is
            // kept. Without any answer it may never come back: after a failover, the library's task
            // for the connection can wait for ever for a lock of its own.
            !self.is_cluster() || fixed.answers() == answers_before
        } else {
            fixed.count_answer();
            !self.is_cluster() && is_of_login(&error, &failed)
        };
        if must_be_replaced {
            connections.replace(index, &fixed);
        }
        let is_current = self
            .current
            .borrow()
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, &connections));
        if is_current && error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
            self.leave_replica();
        } else if error.is_io_error() {
            self.recheck.notify_one();
        }
        Err(Failed {
            error: failed,
            may_have_run: !was_not_run(&error),
        })
    }

    /// The error of a caller that received no answer in time.
    pub(super) fn no_answer(&self) -> StoreError {
        match fault::no_answer() {
            // A server without TLS waits for the end of a line. A TLS handshake need not have one.
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
        let Target::Server(info) = &self.target else {
            return false;
        };
        matches!(info.addr(), ConnectionAddr::TcpTls { .. })
    }

    /// Finds the primary again, because a replica has answered. A server that becomes a replica
    /// goes on answering reads, so nothing else would end the connections to it.
    pub(super) fn leave_replica(&self) {
        match &self.target {
            Target::Sentinels => self.recheck.notify_one(),
            // Its name may lead to another server by now, and so may a proxy at its address.
            Target::Server(info) => {
                let mut replaced_at = self.replaced_at.lock();
                if replaced_at.elapsed() > MIN_REPLACE_INTERVAL {
                    *replaced_at = Instant::now();
                    tracing::warn!("Redis has become a replica; the broker connects again");
                    self.switch_to(info);
                }
            }
            // The connections to a Cluster know its replicas.
            Target::Cluster => {}
        }
    }

    /// Replaces all connections by connections to this server.
    fn switch_to(&self, info: &ConnectionInfo) {
        match ServerConnections::to_server(info, &self.settings) {
            Ok(connections) => {
                self.metrics.redis.primary_changes.inc();
                self.current.send_replace(Some(Arc::new(connections)));
            }
            Err(error) => tracing::error!(%error, "the primary can't be connected to"),
        }
    }
}

/// Whether the command certainly was not run: it found no connection, or the server refused to run
/// it here or now.
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

/// Whether the server refused the connection itself, for example because of a wrong password. The
/// library keeps such a failure for ever, also when the server would accept the connection by now.
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
