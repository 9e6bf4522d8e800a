use axum::{
    Json, Router,
    body::Body,
    extract::Path,
    http::HeaderMap,
    response::{IntoResponse, Redirect},
    routing::{any, get, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

fn routes() -> Router {
    let echo = post(async |headers: HeaderMap, body: String| {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        Json(json!({ "authorization": header("authorization"), "type": header("content-type"), "body": body }))
    });
    let status = get(async |Path(status): Path<u16>| (StatusCode::from_u16(status).unwrap(), "<html>oh</html>"));
    let problem = get(async || {
        let body = json!({ "type": "about:blank", "title": "t", "status": 404, "detail": "no such thing", "code": "not_found" });
        (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "application/problem+json")], body.to_string())
    });
    let endless = get(async || {
        let part = || Some((Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 20])), ()));
        Body::from_stream(futures_util::stream::unfold((), move |()| std::future::ready(part()))).into_response()
    });
    Router::new()
        .route("/api/echo", echo)
        .route("/api/method", any(async |method: Method, body: String| Json(json!([method.as_str(), body]))))
        .route("/api/status/{status}", status)
        .route("/api/problem", problem)
        .route("/api/redirect", get(async || Redirect::temporary("http://198.51.100.1/")))
        .route("/api/endless", endless)
        .route("/api/silent", get(std::future::pending::<()>))
        .route("/api/text", get(async |headers: HeaderMap| headers[ACCEPT].to_str().unwrap().to_owned()))
}

async fn client() -> ApiClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes()).await });
    ApiClient::new(&url, Some(Secret::new("jtn_secret".to_owned()))).unwrap()
}

#[tokio::test]
async fn a_body_is_one_line_and_the_token_travels_with_it() {
    let answer: Value = client().await.post("/echo", &json!({ "a": "b\nc" })).await.unwrap();
    assert_eq!(
        answer,
        json!({ "authorization": "Bearer jtn_secret", "type": "application/json", "body": r#"{"a":"b\nc"}"# })
    );
}

#[tokio::test]
async fn changes_and_deletions() {
    let patched: Value = client().await.patch("/method", &json!({ "a": 1 })).await.unwrap();
    assert_eq!(patched, json!(["PATCH", r#"{"a":1}"#]));
    let deleted: Value = client().await.delete("/method?reason=x").await.unwrap();
    assert_eq!(deleted, json!(["DELETE", ""]));
}

#[tokio::test]
async fn text_is_asked_for_by_its_type() {
    assert_eq!(client().await.get_text("/text", "application/jose").await.unwrap(), "application/jose");
}

#[tokio::test]
async fn a_problem_is_told_as_it_came() {
    let Err(CallError::Problem(problem)) = client().await.get::<Value>("/problem").await else { panic!("no problem") };
    assert!(problem.to_string().contains("no such thing"), "{problem}");
}

async fn bad(path: &str) -> String {
    match client().await.get::<Value>(path).await {
        Err(CallError::Bad(why)) => why,
        other => panic!("{path}: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_answer_is_bad_and_says_so() {
    assert!(bad("/redirect").await.contains("redirects to http://198.51.100.1/"));
    assert!(bad("/endless").await.contains("longer than"));
    assert!(bad("/status/200").await.contains("not what was asked for"));
    assert!(bad("/status/500").await.contains("is it an authority?"));
}

async fn unreachable(client: ApiClient, path: &str) -> String {
    match client.get::<Value>(path).await {
        Err(CallError::Unreachable(why)) => why,
        other => panic!("{path}: {other:?}"),
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    assert!(unreachable(client().await, "/status/502").await.contains("502"));
    let hurried = client().await.with_call_timeout(Duration::from_millis(20));
    assert!(unreachable(hurried, "/silent").await.contains("within 20ms"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = ApiClient::new(&format!("http://{free}"), None).unwrap();
    assert!(unreachable(nobody, "/x").await.starts_with(&format!("cannot reach http://{free}: ")));
}

#[test]
fn urls() {
    let base = |url: &str| ApiClient::new(url, None).map(|client| client.base_url());
    assert_eq!(base("http://127.0.0.1:7400"), Ok("http://127.0.0.1:7400".to_owned()));
    assert_eq!(base("http://h/a/"), Ok("http://h/a".to_owned()));
    for bad in ["", "127.0.0.1:7400", "https://h", "ftp://h", "http://", "/v1", "http://h/?a=b", "http://u:pw@h"] {
        let error = base(bad).unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:7400") && !error.contains("pw"), "{error}");
    }
    let token = Some(Secret::new("a\nb".to_owned()));
    assert_eq!(ApiClient::new("http://h", token).unwrap_err(), SetupError::Token);
}

/// A server that hangs up on the first request and answers the second.
#[tokio::test]
async fn what_is_done_once_is_tried_again_when_the_connection_breaks() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut keys = Vec::new();
        for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"{\"a\":1}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let request = String::from_utf8(request).unwrap();
            let key = request.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap().to_owned();
            keys.push(key);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        keys
    });
    let client = ApiClient::new(&url, None).unwrap();
    let done: bool = client.post_once("/v1/x", &json!({"a": 1}), "k-1").await.unwrap();
    assert!(done);
    assert_eq!(server.await.unwrap(), ["k-1", "k-1"]);
    // Twice, and no more.
    let gone = client.post_once::<_, bool>("/v1/x", &json!({"a": 1}), "k-2").await;
    assert!(matches!(gone, Err(CallError::Unreachable(_))), "{gone:?}");
}

#[test]
fn debug_shows_no_secret() {
    let client = ApiClient::new("http://h", Some(Secret::new("jtn_secret".to_owned()))).unwrap();
    assert_eq!(format!("{client:?}"), r#"ApiClient { base_url: "http://h", .. }"#);
}
