//! The Lua scripts. Each is one atomic step, in a file of its own that describes it.

use std::time::Duration;

use deadpool_redis::redis::{
    Cmd, ErrorKind, RedisResult, Script, ServerErrorKind, ToRedisArgs, Value, aio::ConnectionLike,
    cmd,
};

use crate::stream::Generation;

/// A script and the digest by which Redis knows it.
pub(super) struct LuaScript {
    source: String,
    script: Script,
}

/// All scripts.
pub(super) struct Scripts {
    pub(super) create: LuaScript,
    pub(super) append: LuaScript,
    pub(super) finish: LuaScript,
    pub(super) snapshot: LuaScript,
    pub(super) locate: LuaScript,
    pub(super) signal: LuaScript,
    pub(super) signals: LuaScript,
    pub(super) renew: LuaScript,
    pub(super) sweeper: LuaScript,
    pub(super) presence: LuaScript,
    pub(super) ready: LuaScript,
}

impl Scripts {
    /// The scripts for one server, or for a Cluster, where channels are sharded.
    pub(super) fn new(is_cluster: bool) -> Self {
        let script = |source: &str| {
            let source = if is_cluster {
                source.replace("'PUBLISH'", "'SPUBLISH'")
            } else {
                source.to_owned()
            };
            LuaScript {
                script: Script::new(&source),
                source,
            }
        };
        Self {
            create: script(include_str!("create.lua")),
            append: script(include_str!("append.lua")),
            finish: script(include_str!("finish.lua")),
            snapshot: script(include_str!("snapshot.lua")),
            locate: script(include_str!("locate.lua")),
            signal: script(concat!(
                include_str!("prolong.lua"),
                include_str!("signal.lua")
            )),
            signals: script(include_str!("signals.lua")),
            renew: script(concat!(
                include_str!("prolong.lua"),
                include_str!("renew.lua")
            )),
            sweeper: script(include_str!("sweeper.lua")),
            presence: script(include_str!("presence.lua")),
            ready: script(include_str!("ready.lua")),
        }
    }
}

impl LuaScript {
    /// A call of this script with these keys. The caller adds the arguments, of about so many
    /// bytes. Built by hand, because `Script::prepare_invoke` allocates for each argument.
    pub(super) fn call(&self, keys: &[impl ToRedisArgs], bytes: usize) -> Cmd {
        let mut call = Cmd::with_capacity(3 + keys.len(), bytes);
        call.arg("EVALSHA")
            .arg(self.script.get_hash())
            .arg(keys.len())
            .arg(keys);
        call
    }

    /// Runs the call. When Redis does not have the script, loads it and runs the call again: Redis
    /// loses scripts by a restart, a failover, or `SCRIPT FLUSH`. That can't write twice, because a
    /// script that Redis does not have has not run.
    pub(super) async fn run(
        &self,
        call: &Cmd,
        connection: &mut impl ConnectionLike,
    ) -> RedisResult<Value> {
        match call.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                cmd("SCRIPT")
                    .arg("LOAD")
                    .arg(&self.source)
                    .exec_async(connection)
                    .await?;
                call.query_async(connection).await
            }
            answer => answer,
        }
    }
}

/// The generation that a script requires; empty for any.
pub(super) fn expected(generation: Option<Generation>) -> String {
    generation.map_or_else(String::new, |generation| generation.to_string())
}

/// Milliseconds, as scripts and commands take them.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
