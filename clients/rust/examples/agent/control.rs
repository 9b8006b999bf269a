//! The input of a subscriber: tokens and accesses that it asked for, requests, and the end.

use std::sync::Arc;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tinistreamer_client::{AccessSource, StreamAccess, Token};
use tokio::sync::{Mutex, mpsc};

use super::{Defect, Input, write_line};

/// A line of input.
#[derive(Deserialize)]
#[serde(untagged)]
enum InputLine {
    Token { token: String },
    Access { access: StreamAccess },
    Stop { op: Stop },
    Signal(SignalRequest),
    Change(ChangeRequest),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stop {
    Stop,
}

/// A signal to send. The agent replies with a line.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(super) enum SignalRequest {
    RequestStop {
        key: Option<String>,
    },
    Signal {
        key: Option<String>,
        name: String,
        #[serde(default)]
        data: Value,
    },
}

/// A request to a subscription of several streams. The agent replies with a line, in order.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum ChangeRequest {
    Cursor,
    Add {
        key: String,
        after: Option<String>,
        from: Option<String>,
        wait: Option<bool>,
    },
    Drop {
        key: String,
    },
}

/// What comes from the input, apart from the end.
pub(super) struct Control {
    pub(super) tokens: Answers<String>,
    pub(super) accesses: Answers<StreamAccess>,
    pub(super) signals: mpsc::UnboundedReceiver<SignalRequest>,
    pub(super) changes: mpsc::UnboundedReceiver<ChangeRequest>,
}

/// The answers to what the agent asked for over its output.
pub(super) struct Answers<T>(mpsc::UnboundedReceiver<T>);

impl<T: DeserializeOwned + Send + 'static> Answers<T> {
    /// A function that asks with a message of this type, and returns the next answer.
    fn asking(
        self,
        message_type: &'static str,
    ) -> impl Fn() -> futures::future::BoxFuture<'static, Result<T, Defect>> + Send + Sync + 'static
    {
        let answers = Arc::new(Mutex::new(self.0));
        move || {
            let answers = Arc::clone(&answers);
            Box::pin(async move {
                write_line(&json!({"type": message_type}))?;
                let answer = answers.lock().await.recv().await;
                answer.ok_or_else(|| Defect::from("no answer came"))
            })
        }
    }
}

impl Answers<String> {
    pub(super) fn into_token(self) -> Token {
        Token::from_fn(self.asking("token-wanted"))
    }
}

impl Answers<StreamAccess> {
    pub(super) fn into_access(self) -> AccessSource {
        AccessSource::from_fn(self.asking("access-wanted"))
    }
}

/// Reads the input. The future is ready when the subscription must stop.
pub(super) fn control(mut input: Input) -> (Control, impl Future<Output = ()>) {
    let (token_sender, tokens) = mpsc::unbounded_channel();
    let (access_sender, accesses) = mpsc::unbounded_channel();
    let (signal_sender, signals) = mpsc::unbounded_channel();
    let (change_sender, changes) = mpsc::unbounded_channel();
    let stop = async move {
        while let Ok(Some(line)) = input.next_line().await {
            match serde_json::from_str(&line) {
                Ok(InputLine::Token { token }) => token_sender.send(token).unwrap_or_default(),
                Ok(InputLine::Access { access }) => {
                    access_sender.send(access).unwrap_or_default();
                }
                Ok(InputLine::Stop { op: Stop::Stop }) => return,
                Ok(InputLine::Signal(signal)) => signal_sender.send(signal).unwrap_or_default(),
                Ok(InputLine::Change(change)) => change_sender.send(change).unwrap_or_default(),
                Err(_) => {}
            }
        }
        std::future::pending::<()>().await;
    };
    let control = Control {
        tokens: Answers(tokens),
        accesses: Answers(accesses),
        signals,
        changes,
    };
    (control, stop)
}
