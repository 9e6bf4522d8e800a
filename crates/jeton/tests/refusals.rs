//! What is refused, and in which words: bad tokens, bad requests, taken names, values out of range. Each refusal is a
//! clear one with a stable code, and changes nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use jeton_testkit::{Answer, Authority, Jeton, Sidecar, Web, now_us};
use jeton_types::{Revision, token::mint};
use serde_json::{Value, json};

/// An authority with the namespaces `acme` and `other`, and a sidecar that serves `acme` alone.
struct World {
    jeton: Jeton,
    web: Web,
    authority: Authority,
    sidecar: Sidecar,
    root: String,
    /// May verify in `acme`, and nowhere else.
    checker: String,
}

impl World {
    async fn start() -> Self {
        let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
        let authority = jeton.serve("data");
        for (namespace, prefix) in [("acme", "acme_live"), ("other", "other_live")] {
            let _ = jeton.as_root(&authority, &["namespace", "create", namespace, "--prefix", prefix]).expect(0);
        }
        let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &web).await;
        let root = authority.root_token();
        let mut world = Self { jeton, web, authority, sidecar, root, checker: String::new() };
        world.checker = world.issue("jeton/checker", &["--scope", "verifier@acme"]);
        world
    }

    fn issue(&self, credential: &str, more: &[&str]) -> String {
        let arguments = [&["issue", credential], more].concat();
        self.jeton.as_root(&self.authority, &arguments).expect(0).out.trim_end().to_owned()
    }

    /// The codes of `/v1/verify` at the sidecar and at the authority.
    async fn codes(&self, token: &str) -> (String, String) {
        let body = json!({ "token": token });
        let code = |answer: Option<Answer>| {
            let answer = answer.unwrap().json();
            assert_eq!(answer["valid"], answer["code"] == "valid", "{answer}");
            answer["code"].as_str().unwrap().to_owned()
        };
        let sidecar = code(self.web.post(self.sidecar.http, "/v1/verify", None, &body).await);
        let authority = code(self.web.post(self.authority.http, "/v1/verify", Some(&self.checker), &body).await);
        (sidecar, authority)
    }

    async fn problem(&self, at: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Value {
        let answer = self.web.request(method, at, path, headers, body.to_owned()).await.unwrap();
        assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}: {answer:?}");
        let problem = answer.json();
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["status"], answer.status);
        assert_eq!(problem["type"], format!("urn:jeton:problem:{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

/// A token of the right form that nobody issued, born `hours` from now.
fn invented(prefix: &str, hours: i64) -> String {
    let birth = now_us().saturating_add_signed(hours * 3_600_000_000);
    mint(&prefix.parse().unwrap(), Revision::new(birth).unwrap(), [7; 24]).text.expose().clone()
}

/// What comes back for this head, byte by byte but for the date, which is the same length each time.
fn raw(to: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    write!(stream, "GET /auth HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n{head}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let lines = answer.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_refused_in_the_same_bytes_whatever_is_bad_about_it() {
    let world = World::start().await;
    let short_lived = world.issue("acme/short", &["--ttl", "10s"]);
    let issued = Instant::now();
    assert_eq!(world.web.auth(world.sidecar.http, &short_lived).await, 200);

    let good = world.issue("acme/good", &[]);
    let elsewhere = world.issue("other/good", &[]);
    let ended = world.issue("acme/ended", &[]);
    let _ = world.jeton.as_root(&world.authority, &["revoke", "acme/ended", "--wait"]).expect(0);
    let tail = good.strip_prefix("acme_live_").unwrap();
    let other = if tail.starts_with('A') { "B" } else { "A" };
    let cases = [
        ("nothing of it", "acme_live_".to_owned(), "malformed"),
        ("truncated", good[..good.len() - 1].to_owned(), "malformed"),
        ("beheaded", good.trim_start_matches("acme_live").to_owned(), "malformed"),
        ("of no prefix's form", good.replacen("acme", "Acme", 1), "malformed"),
        ("a typing error", format!("acme_live_{other}{}", &tail[1..]), "malformed"),
        ("too long", format!("{good}0"), "malformed"),
        ("not ASCII", good.replacen("acme", "äcme", 1), "malformed"),
        ("of a very long prefix", format!("{}_{tail}", "a".repeat(3_000)), "malformed"),
        ("of nobody's prefix", invented("nobody", -1), "unknown"),
        ("never issued", invented("acme_live", -1), "unknown"),
        ("born in the future", invented("acme_live", 1), "unknown"),
        ("born in a hundred years", invented("acme_live", 876_000), "unknown"),
        ("another's under this prefix", elsewhere.replacen("other", "acme", 1), "unknown"),
        ("this one under another's prefix", good.replacen("acme", "other", 1), "unknown"),
        ("another namespace's", elsewhere, "unknown"),
        ("the administrator's", world.root.clone(), "unknown"),
        ("revoked", ended, "revoked"),
    ];
    let refusal = raw(world.sidecar.http, "");
    assert!(refusal.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{refusal}");
    let challenge = "www-authenticate: Bearer realm=\"jeton\"";
    assert!(refusal.contains(challenge) && !refusal.contains("x-jeton-"), "{refusal}");
    for (what, token, code) in &cases {
        assert_eq!(world.codes(token).await, ((*code).to_owned(), (*code).to_owned()), "{what}");
        assert_eq!(raw(world.sidecar.http, &format!("Authorization: Bearer {token}\r\n")), refusal, "{what}");
    }

    let bearer = format!("Authorization: Bearer {good}\r\n");
    for head in [
        format!("Authorization: {good}\r\n"),
        format!("Authorization: Basic {good}\r\n"),
        format!("{bearer}{bearer}"),
        format!("Authorization: Bearer {good}, Bearer {good}\r\n"),
        format!("{bearer}X_Jeton_Subject: root\r\n"),
        format!("{bearer}X-Jeton_Subject: root\r\n"),
        format!("{bearer}Connection: X-Jeton-Subject\r\n"),
        format!("{bearer}Connection: keep-alive, x_jeton_scopes\r\n"),
        format!("{bearer}X-Jeton-Require-Scopes: a\r\nX-Jeton-Require-Scopes: b\r\n"),
        format!("{bearer}X-Jeton-Require-Scopes: \"a\"\r\n"),
    ] {
        assert_eq!(raw(world.sidecar.http, &head), refusal, "{head}");
    }
    assert!(raw(world.sidecar.http, &bearer).starts_with("HTTP/1.1 200 OK\r\n"), "a good one passes all the while");

    // Ten seconds are the shortest life; verifiers err towards refusing by a quarter of what they cannot know, and the
    // authority does not err. What was asked before the end may be answered after it.
    let passed = Duration::from_millis(10_100);
    for at_authority in [false, true] {
        loop {
            let asked = issued.elapsed();
            let (sidecar, authority) = world.codes(&short_lived).await;
            let code = if at_authority { authority } else { sidecar };
            if code == "expired" {
                break;
            }
            assert!(code == "valid" && asked < passed, "{code} after {asked:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lived = issued.elapsed();
        assert!(lived > Duration::from_secs(if at_authority { 9 } else { 6 }), "only {lived:?}");
    }
    assert_eq!(raw(world.sidecar.http, &format!("Authorization: Bearer {short_lived}\r\n")), refusal, "expired");
    // An administrator's view of the token agrees.
    let tokens = world.jeton.as_root(&world.authority, &["token", "list", "acme/short", "--json"]).expect(0).json();
    assert_eq!(tokens[0]["state"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_demands_a_token_must_have() {
    let world = World::start().await;
    let token = world.issue("acme/reader", &["--scope", "orders:read", "--scope", "orders:list"]);
    let bearer = format!("Bearer {token}");
    for (demanded, status) in [
        ("", 200),
        ("orders:read", 200),
        ("orders:list  orders:read", 200),
        ("orders:write", 403),
        ("orders:read orders:write", 403),
        ("orders", 403),
        ("ORDERS:READ", 403),
    ] {
        let headers = [("authorization", bearer.as_str()), ("x-jeton-require-scopes", demanded)];
        let answer = world.web.request("GET", world.sidecar.http, "/auth", &headers, "").await.unwrap();
        assert_eq!(answer.status, status, "{demanded}");
        let challenged = answer.header("www-authenticate").contains("insufficient_scope");
        assert_eq!(challenged, status == 403, "{demanded}: {answer:?}");
        assert_eq!(answer.headers.contains_key("x-jeton-subject"), status == 200, "{demanded}: {answer:?}");

        let scopes: Vec<&str> = demanded.split_whitespace().collect();
        let body = json!({ "token": token, "scopes": scopes });
        let code = if status == 200 { "valid" } else { "insufficient_scope" };
        for (at, caller) in [(world.sidecar.http, None), (world.authority.http, Some(world.checker.as_str()))] {
            assert_eq!(
                world.web.post(at, "/v1/verify", caller, &body).await.unwrap().json()["code"],
                code,
                "{demanded}"
            );
        }
    }
    // What a bad token lacks besides is nobody's business.
    let headers = [("authorization", "Bearer acme_live_x"), ("x-jeton-require-scopes", "orders:write")];
    assert_eq!(world.web.request("GET", world.sidecar.http, "/auth", &headers, "").await.unwrap().status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxys_question_may_come_in_any_form() {
    let world = World::start().await;
    let token = world.issue("acme/billing", &["--subject", "svc:billing"]);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        for path in ["/auth", "/auth/", "/auth?", "/auth?token=acme_live_x", "/auth/orders/7/%2e%2e/x//y?a=b"] {
            let answer = world.web.request(method, world.sidecar.http, path, &headers, "").await.unwrap();
            assert_eq!((answer.status, answer.header("x-jeton-subject")), (200, "svc:billing"), "{method} {path}");
            assert_eq!(answer.header("cache-control"), "no-store");
            let refused = world.web.request(method, world.sidecar.http, path, &[], "").await.unwrap();
            assert_eq!(refused.status, 401, "{method} {path}");
        }
    }
    // Names that only look like it are no way in.
    for path in ["/authx", "/Auth", "/auth%2f", "//auth", "/v1/auth"] {
        let problem = world.problem(world.sidecar.http, "GET", path, &headers, "").await;
        assert_eq!(problem["code"], "not_found", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_no_route_takes() {
    let world = World::start().await;
    let as_json = ("content-type", "application/json");
    let large = json!({ "token": "a".repeat(70_000) }).to_string();
    let long_path = format!("/v1/verify?{}", "a".repeat(9_000));
    let wide = "a".repeat(17_000);
    let root = format!("Bearer {}", world.root);
    for at in [world.sidecar.http, world.authority.http] {
        let caller = ("authorization", root.as_str());
        let known = [caller, as_json];
        for (method, path, headers, body, code) in [
            ("POST", "/v1/verify", &known[..], "", "invalid_request"),
            ("POST", "/v1/verify", &known, "{", "invalid_request"),
            ("POST", "/v1/verify", &known, "[]", "invalid_request"),
            ("POST", "/v1/verify", &known, "null", "invalid_request"),
            ("POST", "/v1/verify", &known, "{}", "invalid_request"),
            ("POST", "/v1/verify", &known, r#"{"token": 7}"#, "invalid_request"),
            ("POST", "/v1/verify", &known, r#"{"token": null}"#, "invalid_request"),
            ("POST", "/v1/verify", &known, r#"{"token": "x", "scopes": "a"}"#, "invalid_request"),
            ("POST", "/v1/verify", &known, r#"{"token": "x", "scopes": ["a b"]}"#, "invalid_request"),
            ("POST", "/v1/verify", &known, r#"{"token": "x", "colour": "red"}"#, "invalid_request"),
            ("POST", "/v1/verify", &known, r#"{"token": "x", "token": "y"}"#, "invalid_request"),
            ("POST", "/v1/verify", &known, r#"{"token": "x"} {}"#, "invalid_request"),
            ("POST", "/v1/verify", &known, "\"\u{0}\"", "invalid_request"),
            ("POST", "/v1/verify", &known, large.as_str(), "too_large"),
            ("POST", "/v1/verify", &[caller], r#"{"token": "x"}"#, "unsupported_media_type"),
            (
                "POST",
                "/v1/verify",
                &[caller, ("content-type", "text/plain")],
                r#"{"token": "x"}"#,
                "unsupported_media_type",
            ),
            ("POST", "/v1/verify", &[caller, as_json, as_json], r#"{"token": "x"}"#, "unsupported_media_type"),
            ("GET", "/v1/verify", &known, "", "method_not_allowed"),
            ("DELETE", "/livez", &known, "", "method_not_allowed"),
            ("GET", "/v1/nothing", &known, "", "not_found"),
            ("GET", "/v2/verify", &known, "", "not_found"),
            ("GET", long_path.as_str(), &known, "", "uri_too_long"),
            ("GET", "/livez", &[("x-wide", wide.as_str())], "", "headers_too_large"),
        ] {
            let problem = world.problem(at, method, path, headers, body).await;
            assert_eq!(problem["code"], code, "{method} {path:.40} {body:.60}: {problem}");
            assert!(!problem.to_string().contains(&world.root), "a refusal repeats no secret");
        }
        assert_eq!(too_large_in_pieces(at, &root).await, "too_large");
        let fields: Vec<(String, String)> = (0..80).map(|number| (format!("x-{number}"), "1".to_owned())).collect();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(world.problem(at, "GET", "/livez", &fields, "").await["code"], "headers_too_large");
        // A parameter of the media type is none of anybody's business.
        let headers = [caller, ("content-type", "Application/JSON; charset=utf-8")];
        let answer = world.web.request("POST", at, "/v1/verify", &headers, r#"{"token": "x"}"#).await.unwrap();
        assert_eq!(answer.json()["code"], "malformed");
    }
}

/// A body whose length is not told before it comes.
async fn too_large_in_pieces(to: SocketAddr, bearer: &str) -> String {
    let bearer = bearer.to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(to).unwrap();
        write!(
            stream,
            "POST /v1/verify HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        .unwrap();
        let piece = format!("2000\r\n{}\r\n", "a".repeat(0x2000));
        for _ in 0..16 {
            // The answer may come, and the connection end, before all of it is sent.
            if stream.write_all(piece.as_bytes()).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let mut buffer = [0; 4_096];
        while let Ok(read) = stream.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..read]);
            if read == 0 || answer.ends_with(b"}") {
                break;
            }
        }
        String::from_utf8(answer).unwrap()
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str::<Value>(body).unwrap()["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_opens_nothing_without_a_good_token_of_its_own() {
    let world = World::start().await;
    let foreign = world.issue("acme/billing", &["--scope", "admin@*"]);
    let ended = world.issue("jeton/ended", &["--scope", "admin@*"]);
    let _ = world.jeton.as_root(&world.authority, &["revoke", "jeton/ended", "--wait"]).expect(0);
    let invented = invented("jtn", -1);
    let at = world.authority.http;
    for token in ["", "x", &foreign, &ended, &invented, &world.root[..world.root.len() - 1]] {
        let bearer = format!("Bearer {token}");
        for (method, path) in [
            ("GET", "/v1/namespaces"),
            ("POST", "/v1/namespaces"),
            ("POST", "/v1/namespaces/acme/credentials"),
            ("POST", "/v1/namespaces/acme/revocations"),
            ("GET", "/v1/verifiers"),
            ("POST", "/v1/verify"),
            ("GET", "/metrics"),
        ] {
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            let headers = if token.is_empty() { &headers[1..] } else { &headers[..] };
            let answer = world.web.request(method, at, path, headers, "{}").await.unwrap();
            assert_eq!(
                (answer.status, answer.json()["code"].as_str()),
                (401, Some("unauthenticated")),
                "{method} {path}"
            );
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
        }
    }
    // A good one that may not: 403, in words that say what would do.
    let body = json!({ "name": "more" }).to_string();
    let bearer = format!("Bearer {}", world.checker);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let problem = world.problem(at, "POST", "/v1/namespaces/acme/credentials", &headers, &body).await;
    assert_eq!(problem["code"], "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("issuer@acme"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_names_and_values_out_of_range() {
    let world = World::start().await;
    let _ = world.issue("acme/billing", &[]);
    let root = format!("Bearer {}", world.root);
    let headers = [("authorization", root.as_str()), ("content-type", "application/json")];
    let (namespaces, acme) = ("/v1/namespaces", "/v1/namespaces/acme/credentials");
    let jeton = "/v1/namespaces/jeton/credentials";
    for (path, body, status, code, says) in [
        (namespaces, json!({ "name": "acme", "prefix": "fresh" }), 409, "name_taken", "choose another"),
        (namespaces, json!({ "name": "jeton", "prefix": "fresh" }), 409, "name_taken", "choose another"),
        (namespaces, json!({ "name": "fresh", "prefix": "acme_live" }), 409, "prefix_taken", "choose another"),
        (namespaces, json!({ "name": "fresh", "prefix": "jtn" }), 409, "prefix_taken", "choose another"),
        (namespaces, json!({ "name": "fresh", "prefix": "f" }), 400, "invalid_request", "2 to 24"),
        (
            namespaces,
            json!({ "name": "fresh", "prefix": "fresh", "freshness": "grace=61m" }),
            400,
            "invalid_request",
            "1h",
        ),
        (namespaces, json!({ "name": "fresh", "prefix": "fresh", "default_ttl": "9s" }), 400, "invalid_request", "10s"),
        (acme, json!({ "name": "billing" }), 409, "name_taken", "choose another"),
        (acme, json!({ "name": "fresh", "ttl": "9999ms" }), 400, "invalid_request", "10s"),
        (acme, json!({ "name": "fresh", "ttl": "3651d" }), 400, "invalid_request", "3650d"),
        (acme, json!({ "name": "fresh", "scopes": ["a", 7] }), 400, "invalid_request", "invalid type"),
        (acme, json!({ "name": "fresh", "subject": "a\nb" }), 400, "invalid_request", "subject"),
        (jeton, json!({ "name": "fresh", "scopes": ["orders:read"] }), 400, "invalid_request", "is no role"),
        (
            jeton,
            json!({ "name": "fresh", "scopes": ["verifier@acme", "root@*"] }),
            400,
            "invalid_request",
            "is no role",
        ),
        ("/v1/namespaces/fresh/credentials", json!({ "name": "fresh" }), 404, "not_found", "namespace"),
    ] {
        let problem = world.problem(world.authority.http, "POST", path, &headers, &body.to_string()).await;
        assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(status), Some(code)), "{path} {body}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{path} {body}: {problem}");
    }
    // The same through the command line, where a person reads it.
    for (arguments, code, says) in [
        (&["namespace", "create", "acme", "--prefix", "fresh"][..], 1, "name_taken"),
        (&["namespace", "create", "fresh", "--prefix", "other_live"], 1, "prefix_taken"),
        (&["issue", "acme/billing"], 1, "name_taken"),
        (&["issue", "acme/fresh", "--ttl", "9s"], 1, "10s"),
        (&["issue", "fresh/fresh"], 1, "not_found"),
        (&["issue", "jeton/fresh", "--scope", "orders:read"], 1, "is no role"),
        (&["rotate", "acme/billing", "--overlap", "9s"], 1, "10s"),
    ] {
        let refused = world.jeton.as_root(&world.authority, arguments).expect(code);
        assert!(refused.out.is_empty() && refused.err.contains(says), "{arguments:?}: {}", refused.err);
    }
    let all = world.jeton.as_root(&world.authority, &["namespace", "list", "--json"]).expect(0).json();
    assert_eq!(all.as_array().unwrap().len(), 3, "acme, other and jeton: nothing was made");
    let all = world.jeton.as_root(&world.authority, &["credential", "list", "acme", "--json"]).expect(0).json();
    assert_eq!(all.as_array().unwrap().len(), 1, "nothing was issued");
}
