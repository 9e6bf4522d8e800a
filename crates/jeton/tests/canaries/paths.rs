//! What goes over HTTP and the feed.

use std::{net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jeton_client::feed::{TokenSource, Verifier, VerifierConfig};
use jeton_testkit::{Answer, Web};
use jeton_types::{Entropy as _, Prefix, Revision, Secret, token};
use serde_json::{Value, json};

use crate::world::{Kept, Places};

/// As many ways as [`Paths::go`] knows.
const WAYS: usize = 12;

#[derive(Clone)]
pub(crate) struct Paths {
    web: Web,
    two: Client<HttpConnector, Full<Bytes>>,
    places: Places,
    kept: Arc<Kept>,
}

impl Paths {
    pub(crate) fn new(places: Places, kept: Arc<Kept>) -> Self {
        let two = Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
        Self { web: Web::default(), two, places, kept }
    }

    /// One canary on its way.
    pub(crate) async fn go(&self, number: usize) {
        match number % WAYS {
            0 => self.verified(number).await,
            1 => self.rotated(number).await,
            2 => self.revoked(number).await,
            3 => self.near_misses().await,
            4 => self.as_administrator(number).await,
            5 => self.in_headers(number).await,
            6 => self.in_the_path(number).await,
            7 => self.in_the_body(number).await,
            8 => self.where_text_is_free(number).await,
            9 => self.over_http_2(number).await,
            10 if number < 50 * WAYS => self.on_the_feed(number).await,
            10 => self.unknown().await,
            _ => self.burned(number).await,
        }
    }

    async fn verified(&self, number: usize) {
        let secret = self.issue(number).await;
        for to in [self.places.http, self.places.sidecar] {
            for scopes in [json!([]), json!(["orders:read"]), json!(["admin"])] {
                let answer = self.root_post(to, "/v1/verify", &json!({ "token": secret, "scopes": scopes })).await;
                assert_eq!(answer.status, 200);
            }
        }
        assert_eq!(self.authorized(&format!("Bearer {secret}")).await, 200);
        assert_eq!(self.authorized(&format!("bearer  {secret}")).await, 200);
    }

    /// Rotated under a key, and asked for again: the sealed secret is told.
    async fn rotated(&self, number: usize) {
        let body = json!({ "name": format!("h-{number}") });
        let issued = self.keyed("/v1/namespaces/acme/credentials", &body, &format!("i-{number}")).await;
        let path = format!("/v1/credentials/{}/rotate", issued["credential"]["id"].as_str().unwrap());
        self.keyed(&path, &json!({}), &format!("r-{number}")).await;
        // Another body under the same key.
        let key = format!("r-{number}");
        self.ask(self.places.http, "POST", &path, &[("idempotency-key", &key)], br#"{"overlap":"5m"}"#, 422).await;
    }

    async fn keyed(&self, path: &str, body: &Value, key: &str) -> Value {
        let root = format!("Bearer {}", self.places.root);
        let headers =
            [("authorization", root.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
        let mut told = Vec::new();
        for _ in 0..2 {
            self.kept.request();
            let answer = self.web.request("POST", self.places.http, path, &headers, body.to_string()).await.unwrap();
            assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
            told.push(answer.json());
        }
        assert_eq!(told[0]["token"]["secret"], told[1]["token"]["secret"]);
        self.kept.secret(told[0]["token"]["secret"].as_str().unwrap());
        told.swap_remove(0)
    }

    async fn revoked(&self, number: usize) {
        let secret = self.issue(number).await;
        let body = json!({ "selector": { "secret": secret }, "reason": "it leaked" });
        for status in [201, 200] {
            assert_eq!(self.root_post(self.places.http, "/v1/namespaces/acme/revocations", &body).await.status, status);
        }
        for to in [self.places.http, self.places.sidecar] {
            self.root_post(to, "/v1/verify", &json!({ "token": secret })).await;
        }
        self.authorized(&format!("Bearer {secret}")).await;
    }

    /// Nearly a token, in all the ways in which a person or a program gets one wrong.
    async fn near_misses(&self) {
        let secret = self.made("acme_live");
        let (mut typo, middle) = (secret.clone().into_bytes(), secret.len() - 30);
        typo[middle] = if typo[middle] == b'a' { b'b' } else { b'a' };
        let wrong = [
            String::from_utf8(typo).unwrap(),
            secret[..secret.len() - 1].to_owned(),
            format!("{secret}0"),
            format!(" {secret}"),
            format!("\"{secret}\""),
            format!("{secret}\n"),
            secret.replace("acme_live_", "acme_dead_"),
            secret.replace("acme_live_", ""),
            secret.replace("acme_live_", "acme-live-"),
            secret.to_uppercase(),
        ];
        for wrong in &wrong {
            for to in [self.places.http, self.places.sidecar] {
                let answer = self.root_post(to, "/v1/verify", &json!({ "token": wrong })).await;
                assert_eq!((answer.status, answer.json()["valid"].as_bool()), (200, Some(false)), "{answer:?}");
            }
            if !wrong.contains('\n') {
                assert_ne!(self.authorized(&format!("Bearer {wrong}")).await, 200);
                let bearer = format!("Bearer {wrong}");
                self.ask(self.places.http, "GET", "/v1/namespaces", &[("authorization", &bearer)], b"", 401).await;
            }
        }
    }

    /// Well-formed, and nobody's. Young enough that the sidecar has to ask.
    async fn unknown(&self) {
        let secret = self.made("acme_live");
        for to in [self.places.http, self.places.sidecar] {
            assert_eq!(self.root_post(to, "/v1/verify", &json!({ "token": secret })).await.status, 200);
        }
        assert_eq!(self.authorized(&format!("Bearer {secret}")).await, 401);
        self.root_post(self.places.http, "/v1/burn", &json!({ "token": secret })).await;
    }

    /// It speaks where only tokens of the namespace `jeton` may, and a good one of that namespace asks for too much.
    async fn as_administrator(&self, number: usize) {
        let secret = self.issue(number).await;
        let weak =
            self.issue_in("jeton", &json!({ "name": format!("weak-{number}"), "scopes": ["auditor@acme"] })).await;
        for (token, status) in [(secret, 401), (self.made("jtn"), 401), (weak, 403)] {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            let body = br#"{"name":"x"}"#;
            self.ask(self.places.http, "POST", "/v1/namespaces/acme/credentials", &headers, body, status).await;
            self.ask(self.places.http, "POST", "/v1/namespaces/acme/revocations", &headers, b"{}", status).await;
            self.any(self.places.http, "GET", "/v1/verifiers", &headers, b"").await;
            self.any(self.places.http, "GET", "/metrics", &headers, b"").await;
        }
    }

    async fn in_headers(&self, number: usize) {
        let secret = self.issue(number).await;
        let bearer = format!("Bearer {secret}");
        let cookie = format!("session={secret}");
        let doubled = format!("Bearer {secret}, Bearer {secret}");
        let uri = format!("/orders?token={secret}");
        let forms: [&[(&str, &str)]; 14] = [
            &[("authorization", &bearer), ("authorization", &bearer)],
            &[("authorization", &bearer), ("Authorization", "Basic eDp5")],
            &[("authorization", &doubled)],
            &[("authorization", &secret)],
            &[("authorization", &format!("Basic {secret}"))],
            &[("authorization", &format!("Token {secret}"))],
            &[("authorization", &format!("Bearer{secret}"))],
            &[("authorization", &format!("Bearer {secret} x"))],
            &[("authorization", &format!("Bearer\t{secret}"))],
            &[("authorization", &format!("Bearer \"{secret}\""))],
            &[("x-api-key", &secret), ("cookie", &cookie)],
            &[("x-forwarded-uri", &uri), ("x-original-uri", &uri), ("authorization", &bearer)],
            &[("x-jeton-subject", &secret), ("x-forwarded-for", &secret), ("user-agent", &secret), ("referer", &uri)],
            &[("idempotency-key", &secret), ("if-match", &secret), ("last-event-id", &secret), ("accept", &secret)],
        ];
        for headers in forms {
            for (to, path) in [
                (self.places.sidecar, "/auth"),
                (self.places.sidecar, "/v1/verify"),
                (self.places.http, "/v1/namespaces"),
                (self.places.http, "/v1/events"),
            ] {
                // Two of them with a good token before: events would not end.
                self.any(to, "GET", path, headers, b"").await;
            }
        }
        let root = format!("Bearer {}", self.places.root);
        let json = ("content-type", "application/json");
        for header in ["idempotency-key", "if-match", "x-request-id", "content-type", "accept"] {
            let headers = [("authorization", root.as_str()), json, (header, secret.as_str())];
            self.any(self.places.http, "PATCH", "/v1/namespaces/acme", &headers, br#"{"default_ttl":null}"#).await;
        }
    }

    async fn in_the_path(&self, number: usize) {
        let secret = self.issue(number).await;
        for path in [
            format!("/v1/tokens/{secret}"),
            format!("/v1/credentials/{secret}"),
            format!("/v1/credentials/acme/{secret}"),
            format!("/v1/credentials/{secret}/rotate"),
            format!("/v1/namespaces/{secret}"),
            format!("/v1/namespaces/{secret}/credentials"),
            format!("/v1/namespaces/acme/credentials?name={secret}"),
            format!("/v1/namespaces/acme/credentials?label={secret}"),
            format!("/v1/namespaces/acme/credentials?label={secret}={secret}"),
            format!("/v1/namespaces/acme/credentials?{secret}={secret}"),
            format!("/v1/namespaces?after={secret}&limit={secret}"),
            format!("/v1/revocations/{secret}/receipt?wait={secret}"),
            format!("/v1/audit?namespace={secret}"),
            format!("/v1/events?token={secret}&access_token={secret}"),
            format!("/{secret}"),
            format!("//{secret}/..%2f{secret}"),
        ] {
            for method in ["GET", "POST", "DELETE"] {
                let root = format!("Bearer {}", self.places.root);
                // Where it would be read as an order to follow the events, no right is shown.
                let headers: &[(&str, &str)] =
                    if path.starts_with("/v1/events") { &[] } else { &[("authorization", &root)] };
                self.any(self.places.http, method, &path, headers, b"").await;
            }
        }
        for path in [
            format!("/auth?token={secret}"),
            format!("/auth/{secret}"),
            format!("/{secret}"),
            format!("/v1/verify?token={secret}"),
        ] {
            self.any(self.places.sidecar, "GET", &path, &[], b"").await;
            self.any(self.places.sidecar, "POST", &path, &[("authorization", &format!("Bearer {secret}"))], b"").await;
        }
    }

    /// JSON that is none, is too much, or has it in the wrong place.
    async fn in_the_body(&self, number: usize) {
        let secret = self.issue(number).await;
        let long = format!("{{\"token\":\"{secret}\",\"x\":\"{}\"}}", "y".repeat(70 * 1024));
        let bodies = [
            json!({ "token": { "text": secret } }).to_string(),
            json!({ "token": [secret] }).to_string(),
            json!({ "token": secret, "extra": secret }).to_string(),
            json!({ secret.as_str(): secret }).to_string(),
            json!({ "token": secret, "scopes": secret }).to_string(),
            json!({ "token": secret, "scopes": [{ "a": secret }] }).to_string(),
            json!({ "selector": secret }).to_string(),
            json!({ "selector": { "token_id": secret } }).to_string(),
            json!({ "selector": { "credential": secret } }).to_string(),
            json!({ "selector": { "issued_before": secret } }).to_string(),
            json!({ "name": 7, "ttl": secret }).to_string(),
            json!({ "name": "x", "ttl": secret, "labels": [secret] }).to_string(),
            json!({ "overlap": secret }).to_string(),
            json!({ "wait": secret, "timeout_ms": secret, "disabled": secret }).to_string(),
            json!(secret).to_string(),
            json!([secret]).to_string(),
            secret.clone(),
            format!("{{\"token\":\"{secret}"),
            format!("{{\"token\":\"{secret}\"}}{secret}"),
            format!("{{\"token\":\"{secret}\",\"token\":\"{secret}\"}}"),
            format!("token={secret}"),
            format!("\u{feff}{{\"token\":\"{secret}\"}}"),
            long,
        ];
        let root = format!("Bearer {}", self.places.root);
        let headers = [("authorization", root.as_str()), ("content-type", "application/json")];
        for (place, body) in bodies.iter().enumerate() {
            for path in ["/v1/verify", "/v1/burn", "/v1/namespaces/acme/credentials", "/v1/namespaces/acme/revocations"]
            {
                let answer = self.any(self.places.http, "POST", path, &headers, body.as_bytes()).await;
                assert!(answer.status >= 400, "{path} of body {place}: {}", answer.status);
            }
            let answer = self.any(self.places.sidecar, "POST", "/v1/verify", &headers, body.as_bytes()).await;
            assert!(answer.status >= 400, "body {place}: {}", answer.status);
            self.any(self.places.http, "PATCH", "/v1/namespaces/acme", &headers, body.as_bytes()).await;
            let form = [("authorization", root.as_str()), ("content-type", "application/x-www-form-urlencoded")];
            self.any(self.places.http, "POST", "/v1/verify", &form, body.as_bytes()).await;
        }
    }

    /// Names, subjects, labels and reasons are free text: a token that is pasted there is not kept.
    async fn where_text_is_free(&self, number: usize) {
        let secret = self.issue(number).await;
        let name = format!("free-{number}");
        let credentials = "/v1/namespaces/acme/credentials";
        let revocations = "/v1/namespaces/acme/revocations";
        let id = "/v1/credentials/cred_01h455vb4pex5vsknk084sn02q";
        for (path, body) in [
            (credentials, json!({ "name": secret })),
            (credentials, json!({ "name": name, "subject": secret })),
            (credentials, json!({ "name": name, "subject": format!("Bearer {secret}") })),
            (credentials, json!({ "name": name, "scopes": [secret] })),
            (credentials, json!({ "name": name, "labels": { "token": secret } })),
            (credentials, json!({ "name": name, "labels": { secret.as_str(): "x" } })),
            (revocations, json!({ "selector": { "subject": "svc:x" }, "reason": format!("leaked: {secret}") })),
            (revocations, json!({ "selector": { "subject": secret } })),
            (revocations, json!({ "selector": { "secret": secret }, "reason": secret })),
            ("/v1/burn", json!({ "token": secret, "reason": format!("found {secret} in a log") })),
            ("/v1/namespaces", json!({ "name": "beta", "prefix": "beta", "x": secret })),
        ] {
            let answer = self.root_post(self.places.http, path, &body).await;
            assert!(matches!(answer.status, 400 | 429), "{path} {}: {}", body, answer.status);
        }
        let (root, patch) = (format!("Bearer {}", self.places.root), json!({ "subject": secret }).to_string());
        let headers = [("authorization", root.as_str()), ("content-type", "application/json")];
        self.any(self.places.http, "PATCH", id, &headers, patch.as_bytes()).await;
        let path = format!("{id}?reason=leaked%20{secret}");
        self.any(self.places.http, "DELETE", &path, &headers[..1], b"").await;
    }

    /// The same over HTTP/2, whose headers travel packed and are traced by another library.
    async fn over_http_2(&self, number: usize) {
        let secret = self.issue(number).await;
        for (to, path) in [
            (self.places.sidecar, "/auth"),
            (self.places.sidecar, "/auth?x=y"),
            (self.places.http, "/v1/namespaces"),
            (self.places.http, "/v1/tokens/x"),
        ] {
            for header in ["authorization", "x-api-key", "cookie"] {
                self.kept.request();
                let request = Request::get(format!("http://{to}{path}&{secret}").replacen(
                    '&',
                    if path.contains('?') { "&" } else { "?" },
                    1,
                ));
                let request = request.header(header, format!("Bearer {secret}")).body(Full::default()).unwrap();
                let (head, body) = self.two.request(request).await.unwrap().into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                self.kept.answer(&Answer { status: head.status.as_u16(), headers: head.headers, body });
            }
        }
    }

    /// A verifier with a canary for its own token.
    async fn on_the_feed(&self, number: usize) {
        let token = match number % 3 {
            0 => self.made("jtn"),
            1 => self.issue(number).await,
            _ => self.issue_in("jeton", &json!({ "name": format!("feed-{number}"), "scopes": ["auditor@acme"] })).await,
        };
        let config = VerifierConfig::new(
            format!("http://{}", self.places.feed),
            TokenSource::Held(Secret::new(token)),
            format!("canary-{number}").parse().unwrap(),
            vec!["acme".parse().unwrap()],
        );
        let verifier = Verifier::start(config).unwrap();
        let refused = verifier.status_when(|status| status.trouble.is_some()).await.unwrap();
        self.kept.text(format!("{refused:?}").as_bytes());
    }

    /// Ten at once, and one a second after that: the rest is told so.
    async fn burned(&self, number: usize) {
        let secret = self.issue(number).await;
        let body = json!({ "token": secret, "reason": "found" });
        let answer = self
            .any(
                self.places.http,
                "POST",
                "/v1/burn",
                &[("content-type", "application/json")],
                body.to_string().as_bytes(),
            )
            .await;
        assert!(matches!(answer.status, 202 | 429), "{answer:?}");
        self.root_post(self.places.sidecar, "/v1/verify", &json!({ "token": secret })).await;
    }

    async fn issue(&self, number: usize) -> String {
        self.issue_in("acme", &json!({ "name": format!("h-{number}"), "scopes": ["orders:read"] })).await
    }

    async fn issue_in(&self, namespace: &str, body: &Value) -> String {
        self.kept.request();
        let path = format!("/v1/namespaces/{namespace}/credentials");
        let answer = self.web.post(self.places.http, &path, Some(&self.places.root), body).await.unwrap();
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        let secret = answer.json()["token"]["secret"].as_str().unwrap().to_owned();
        self.kept.secret(&secret);
        secret
    }

    /// A token of which nobody knows, born just now.
    fn made(&self, prefix: &str) -> String {
        let mut random = [0; token::RANDOM_BYTES];
        jeton_host::clock::OsEntropy.fill(&mut random);
        let birth = Revision::new(jeton_testkit::now_us()).unwrap();
        let secret = token::mint(&prefix.parse::<Prefix>().unwrap(), birth, random).text.expose().clone();
        self.kept.secret(&secret);
        secret
    }

    async fn root_post(&self, to: SocketAddr, path: &str, body: &Value) -> Answer {
        let root = format!("Bearer {}", self.places.root);
        let headers = [("authorization", root.as_str()), ("content-type", "application/json")];
        self.any(to, "POST", path, &headers, body.to_string().as_bytes()).await
    }

    /// The status of `/auth` for this header.
    async fn authorized(&self, header: &str) -> u16 {
        self.any(self.places.sidecar, "GET", "/auth", &[("authorization", header)], b"").await.status
    }

    async fn ask(&self, to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], status: u16) {
        let root = format!("Bearer {}", self.places.root);
        let mut all = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            all.extend([("authorization", root.as_str()), ("content-type", "application/json")]);
        }
        let answer = self.any(to, method, path, &all, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
    }

    /// Asks, and keeps the answer to be searched.
    async fn any(&self, to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.kept.request();
        let mut headers = headers.to_vec();
        // What is not sent whole is cut off by the server, which is no answer that could be searched.
        headers.push(("connection", "keep-alive"));
        let answer = self.web.request(method, to, path, &headers, body.to_vec()).await;
        let answer = answer.unwrap_or_else(|| panic!("no answer to {method} {}", path.split('?').next().unwrap()));
        self.kept.answer(&answer);
        answer
    }
}
