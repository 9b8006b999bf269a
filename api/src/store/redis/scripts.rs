//! The Lua scripts: each is one atomic step, kept in a file of its own and described there.

use deadpool_redis::redis::{
    Cmd, ErrorKind, RedisResult, Script, ServerErrorKind, Value, aio::ConnectionLike, cmd,
};

/// A script and the digest by which Redis knows it.
pub(super) struct LuaScript {
    source: String,
    script: Script,
}

/// All of them.
pub(super) struct Scripts {
    pub(super) create: LuaScript,
    pub(super) append: LuaScript,
    pub(super) finish: LuaScript,
    pub(super) snapshot: LuaScript,
    pub(super) locate: LuaScript,
    pub(super) ready: LuaScript,
}

impl Scripts {
    /// The scripts for one server or, where channels are sharded, for a Cluster.
    pub(super) fn new(sharded: bool) -> Self {
        let script = |source: &str| {
            let source = if sharded {
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
            ready: script(include_str!("ready.lua")),
        }
    }
}

impl LuaScript {
    /// A call of this script, to which keys and arguments are added. Built by hand rather than by
    /// `Script::prepare_invoke`, which allocates per argument: a batch has thousands.
    pub(super) fn call(&self, keys: &[&str], bytes: usize) -> Cmd {
        let mut call = Cmd::with_capacity(3 + keys.len(), bytes);
        call.arg("EVALSHA")
            .arg(self.script.get_hash())
            .arg(keys.len())
            .arg(keys);
        call
    }

    /// Runs the call; where Redis has lost the script (restart, failover, `SCRIPT FLUSH`), loads it
    /// and runs it again. That can't write twice: a script that is not there has not run.
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
