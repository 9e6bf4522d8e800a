//! A running authority of one's own, and how to call it.

use std::{
    net::SocketAddr,
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jeton_authority::{Authority, AuthorityConfig, Running, StartError};
use jeton_host::clock::{OsEntropy, SystemClock};
use jeton_store::Disk;
use jeton_types::{Clock, Now};
use serde_json::Value;
use tempfile::TempDir;

/// The machine's clocks, set forward together.
#[derive(Default)]
pub(crate) struct Shifted(Mutex<Duration>);

impl Clock for Shifted {
    fn now(&self) -> Now {
        SystemClock.now().plus(*self.0.lock().unwrap())
    }
}

impl Shifted {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

pub(crate) struct World {
    pub(crate) running: Running,
    pub(crate) clock: Arc<Shifted>,
    pub(crate) dir: TempDir,
    pub(crate) api: Api,
}

/// Calls it, also while the rest of its world goes under.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) root: String,
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Deref for World {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_in(TempDir::new().unwrap()).await
    }

    pub(crate) async fn start_in(dir: TempDir) -> Self {
        Self::start_with(dir, |config| config).await
    }

    pub(crate) async fn start_with(dir: TempDir, set: impl FnOnce(AuthorityConfig) -> AuthorityConfig) -> Self {
        let clock = Arc::new(Shifted::default());
        let data = dir.path().join("data");
        let running = Authority::start(set(config(&data)), clock.clone(), Arc::new(OsEntropy)).await.unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let api = Api { root: read_root(&data), address: running.http_addr, client };
        Self { running, clock, dir, api }
    }

    /// The same over a model of the store that lies on `disk`.
    pub(crate) async fn start_over(disk: &Disk, dir: TempDir) -> Self {
        let clock = Arc::new(Shifted::default());
        let data = dir.path().join("data");
        let running = Authority::start_over(disk, config(&data), clock.clone(), Arc::new(OsEntropy)).await.unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let api = Api { root: read_root(&data), address: running.http_addr, client };
        Self { running, clock, dir, api }
    }

    /// Stops it and starts another on the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.running.shutdown().await;
        Self::start_in(self.dir).await
    }
}

impl Api {
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, text: String::from_utf8(bytes.into()).unwrap() }
    }

    pub(crate) fn request(&self, method: &Method, path: &str, token: Option<&str>) -> http::request::Builder {
        let uri = format!("http://{}{path}", self.address);
        let request = Request::builder().method(method).uri(uri);
        match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.send(self.request(&Method::GET, path, Some(token)).body(Full::default()).unwrap()).await
    }

    pub(crate) async fn get_open(&self, path: &str) -> Answer {
        self.send(self.request(&Method::GET, path, None).body(Full::default()).unwrap()).await
    }

    pub(crate) async fn post_as(&self, token: &str, path: &str, body: impl ToString) -> Answer {
        let request = self.request(&Method::POST, path, Some(token)).header("content-type", "application/json");
        self.send(request.body(Full::from(body.to_string())).unwrap()).await
    }

    /// Any method, with a body of JSON if there is one.
    pub(crate) async fn call_as(
        &self,
        token: Option<&str>,
        method: &Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = self.request(method, path, token);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(request.body(Full::from(body)).unwrap()).await
    }

    /// The status alone, also of an answer that never ends.
    pub(crate) async fn status_as(
        &self,
        token: Option<&str>,
        method: &Method,
        path: &str,
        body: Option<Value>,
    ) -> StatusCode {
        let request = self.request(method, path, token).header("content-type", "application/json");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.client.request(request.body(Full::from(body)).unwrap()).await.unwrap().status()
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call_as(Some(&self.root), &Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call_as(Some(&self.root), &Method::DELETE, path, None).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(&self.root, path).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.post_as(&self.root, path, body).await
    }

    /// A namespace, strict, whose prefix is its name.
    pub(crate) async fn namespace(&self, name: &str) {
        let body = serde_json::json!({"name": name, "prefix": name, "freshness": "strict"});
        self.post("/v1/namespaces", body).await.expect(StatusCode::CREATED);
    }

    /// Issues a credential; answers its id and its secret.
    pub(crate) async fn issue(&self, namespace: &str, name: &str, scopes: &[&str]) -> (String, String) {
        let body = serde_json::json!({"name": name, "scopes": scopes});
        let path = format!("/v1/namespaces/{namespace}/credentials");
        let issued = self.post(&path, body).await.expect(StatusCode::CREATED).json();
        (text(&issued["credential"]["id"]), text(&issued["token"]["secret"]))
    }

    /// The code of the authority's verdict over a text.
    pub(crate) async fn verdict(&self, token: &str) -> String {
        let answer = self.post("/v1/verify", serde_json::json!({"token": token})).await;
        text(&answer.expect(StatusCode::OK).json()["code"])
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A problem with this code, in the form that every problem has.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], format!("urn:jeton:problem:{code}"));
        text(&problem["detail"])
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!(!self.text.trim_end().contains('\n'), "one line: {}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Asks until the answer is yes; a test that never hears it fails and does not hang.
pub(crate) async fn until(mut ask: impl AsyncFnMut() -> bool) {
    let asking = async { while !ask().await {} };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect("it never came");
}

pub(crate) fn config(data_dir: &Path) -> AuthorityConfig {
    AuthorityConfig {
        http: "127.0.0.1:0".parse().unwrap(),
        feed: "127.0.0.1:0".parse().unwrap(),
        ..AuthorityConfig::new(data_dir)
    }
}

pub(crate) async fn start(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    Authority::start(config(data_dir), clock, Arc::new(OsEntropy)).await
}

pub(crate) fn read_root(data_dir: &Path) -> String {
    std::fs::read_to_string(data_dir.join("root.token")).unwrap().trim().to_owned()
}
