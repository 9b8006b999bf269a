//! The hook `publish` for the messages of a publisher's WebSocket.

use super::answers::ParsedEvent;
use crate::{
    http::{
        error::ApiError,
        hooks::{HookRefusal, PublishHook},
    },
    stream::StreamKey,
};

/// Runs the script's hook for each event, in order. After one that fails, all others fail, too.
/// Returns whether one failed.
pub(super) async fn run_hook(
    hook: &PublishHook,
    key: &StreamKey,
    parsed: &mut [Result<ParsedEvent, ApiError>],
    max_event: usize,
) -> bool {
    let mut failed: Option<ApiError> = None;
    for slot in parsed.iter_mut() {
        let Ok(ParsedEvent { event, .. }) = slot else {
            continue;
        };
        if let Some(error) = &failed {
            *slot = Err(error.clone());
            continue;
        }
        match hook.apply(key, event.clone(), max_event).await {
            Ok(changed) => *event = changed,
            Err(HookRefusal::Refused(error)) => *slot = Err(error),
            Err(HookRefusal::Failed(error)) => {
                failed = Some(error.clone());
                *slot = Err(error);
            }
        }
    }
    failed.is_some()
}
