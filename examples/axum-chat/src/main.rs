use async_openai::Client as OpenAi;
use axum::{BoxError, Router, response::Html, routing::get};
use futures::TryStreamExt;
use serde_json::{Value, json};
use tinistreamer_client::{AnswerWriter, Client};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = Router::new().nest_service("/answers", Client::from_env()?.answers(answer));
    let app = app.route("/", get(Html(include_str!("../page.html"))));
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    Ok(axum::serve(tokio::net::TcpListener::bind(address).await?, app).await?)
}
async fn answer(it: Value, mut writer: AnswerWriter) -> Result<(), BoxError> {
    let messages = json!([{"role": "user", "content": it["question"]}]);
    let prompt = json!({"model": "gpt-5-mini", "stream": true, "messages": messages});
    let chunks = OpenAi::new().chat().create_stream_byot(prompt).await?;
    let text = chunks.map_ok(|it: Value| it["choices"][0]["delta"]["content"].clone());
    writer.try_pipe_from(text.err_into(), "token").await
}
