//! Asks the Sentinels which server is the primary.

use std::{sync::Weak, time::Duration};

use deadpool_redis::redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsMode,
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::config::Sentinels;

/// How often the Sentinels are asked when nothing gives a reason to.
const INTERVAL: Duration = Duration::from_secs(2);

/// The least time between two questions.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// A client that asks the Sentinels for the primary. Errors: the URL of the server can't be used.
pub(super) fn client(sentinels: &Sentinels) -> RedisResult<SentinelClient> {
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

/// Calls `switch_to` with each new primary that the Sentinels name. The client checks that the
/// server confirms its role. `recheck` makes it ask at once; the task ends when that was dropped.
pub(super) async fn watch(
    mut sentinels: SentinelClient,
    answer_timeout: Duration,
    recheck: Weak<Notify>,
    switch_to: impl Fn(&ConnectionInfo),
) {
    let mut known: Option<ConnectionAddr> = None;
    let mut is_failing = false;
    while recheck.strong_count() > 0 {
        let answer = timeout(answer_timeout, sentinels.async_get_client()).await;
        match answer
            .map_err(|_| "no answer in time".to_owned())
            .and_then(|answer| answer.map_err(|error| error.to_string()))
        {
            Ok(client) => {
                let info = client.get_connection_info();
                if known.as_ref() != Some(info.addr()) {
                    tracing::info!(address = %info.addr(), "the Sentinels have named the primary");
                    known = Some(info.addr().clone());
                    switch_to(info);
                }
                is_failing = false;
            }
            // Logged once: while there is no primary this fails again and again.
            Err(detail) if !is_failing => {
                tracing::warn!(%detail, "the Sentinels name no primary");
                is_failing = true;
            }
            Err(_) => {}
        }
        sleep(MIN_INTERVAL).await;
        let Some(recheck) = recheck.upgrade() else {
            return;
        };
        let _ = timeout(INTERVAL, recheck.notified()).await;
    }
}
