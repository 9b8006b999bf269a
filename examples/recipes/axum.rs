// A chat's backend with axum, for those who are signed in. The model goes on without the page.
use async_openai::Client as OpenAi;
use axum::{BoxError, Router, extract::Request, http::StatusCode, middleware, response::Response};
use futures::TryStreamExt;
use serde_json::{Value, json};
use tinistreamer_client::{AnswerWriter, Client};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = Router::new().nest_service("/answers", Client::from_env()?.answers(answer));
    let app = app.layer(middleware::from_fn(check));
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

/// An application looks here who is signed in, and whose answer the path names.
async fn check(request: Request, next: middleware::Next) -> Result<Response, StatusCode> {
    let user = request.headers().get("x-user");
    user.ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(next.run(request).await)
}
