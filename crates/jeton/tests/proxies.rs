//! Real proxies in front of a service, with a real sidecar beside them: nginx and Caddy as `docs/howto` says. The
//! configuration is read out of those pages, so that they cannot rot.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, body::Bytes, http::HeaderMap};
use jeton_testkit::{Authority, Jeton, Sidecar, Web};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
};

/// How long a proxy may take to come up, and anything else that comes by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// The service behind the proxy: it answers with what it was asked.
struct Service {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Service {
    async fn start() -> Self {
        let asked = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&asked);
        let echo = async move |headers: HeaderMap, body: Bytes| {
            counted.fetch_add(1, Ordering::SeqCst);
            let headers = headers.iter().map(|(name, value)| json!([name.as_str(), value.to_str().unwrap()]));
            Json(json!({ "headers": headers.collect::<Vec<_>>(), "body": body.len() }))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(echo)).await });
        Self { address, asked }
    }
}

/// A proxy that listens on a Unix socket: there is no port that somebody else could take.
struct Proxy {
    process: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What came back through a proxy.
#[derive(Debug)]
struct Through {
    status: u16,
    /// In lower case, as it came.
    head: String,
    body: String,
}

impl Through {
    /// The identity headers that the service saw, under any spelling that it might take for one.
    fn identity(&self) -> Vec<(String, String)> {
        let echo: Value = serde_json::from_str(&self.body).unwrap();
        let all = echo["headers"].as_array().unwrap().iter();
        let pairs = all.map(|pair| (pair[0].as_str().unwrap().replace('_', "-"), pair[1].as_str().unwrap().to_owned()));
        // An empty one and none are the same to the service.
        let mut identity: Vec<_> =
            pairs.filter(|(name, value)| name.starts_with("x-jeton") && !value.is_empty()).collect();
        identity.sort();
        identity
    }

    fn saw(&self, name: &str) -> bool {
        let echo: Value = serde_json::from_str(&self.body).unwrap();
        echo["headers"].as_array().unwrap().iter().any(|pair| pair[0] == name)
    }
}

impl Proxy {
    fn start(program: &str, arguments: &[&str], folder: &Path, socket: PathBuf) -> Self {
        let log = folder.join("log");
        let spawn = |program: &str| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
            // Whatever a proxy keeps for itself goes into the test's folder.
            command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
            command.stderr(File::create(&log).unwrap()).spawn()
        };
        // Debian keeps some of them out of a user's PATH.
        let found = spawn(program).or_else(|error| match error.kind() {
            ErrorKind::NotFound => spawn(&format!("/usr/sbin/{program}")),
            _ => Err(error),
        });
        let process = found.unwrap_or_else(|error| panic!("cannot run {program}: {error}; ./test installs it"));
        let mut proxy = Self { process, socket, log };
        let started = Instant::now();
        while std::os::unix::net::UnixStream::connect(&proxy.socket).is_err() {
            let ended = proxy.process.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "{program} {ended:?}: {}", proxy.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        proxy
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A request with these header lines, each with its end.
    async fn ask(&self, lines: &str) -> Through {
        self.send(&format!("GET /orders/7?x=1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{lines}\r\n")).await
    }

    async fn send(&self, request: &str) -> Through {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.socket).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}: {}", self.log()));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Through { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

/// The first block of this language in a page.
fn block(page: &str, language: &str) -> String {
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Puts addresses in the place of those that the page has. Each must be there.
fn filled(block: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(block.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` is not in the page any more");
        text.replace(from, to)
    })
}

/// An authority with a strict namespace, a sidecar, and a service.
struct World {
    jeton: Jeton,
    authority: Authority,
    sidecar: Sidecar,
    service: Service,
}

impl World {
    async fn start() -> Self {
        let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
        let authority = jeton.serve("data");
        let create = ["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", "strict"];
        let _ = jeton.as_root(&authority, &create).expect(0);
        let told = ["--client-address-header", "X-Real-IP"];
        let sidecar = jeton.sidecar_ready_with(&authority, "edge-1", "acme", &Web::default(), &told).await;
        Self { authority, sidecar, service: Service::start().await, jeton }
    }

    fn issue(&self, name: &str, more: &[&str]) -> (String, Vec<(String, String)>) {
        let credential = format!("acme/{name}");
        let issued = self.jeton.as_root(&self.authority, &[&["issue", &credential, "--json"], more].concat());
        let issued = issued.expect(0).json();
        let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let scopes: Vec<&str> =
            issued["credential"]["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()).collect();
        let mut identity = vec![
            ("x-jeton-credential-id".to_owned(), field(&issued["credential"]["id"])),
            ("x-jeton-namespace".to_owned(), "acme".to_owned()),
            ("x-jeton-scopes".to_owned(), scopes.join(" ")),
            ("x-jeton-subject".to_owned(), field(&issued["credential"]["subject"])),
            ("x-jeton-token-id".to_owned(), field(&issued["token"]["id"])),
        ];
        identity.retain(|(_, value)| !value.is_empty());
        (format!("Authorization: Bearer {}\r\n", field(&issued["token"]["secret"])), identity)
    }
}

/// What differs between the proxies.
struct Expect {
    two_authorizations: u16,
    /// To `Connection: X-Jeton-Subject`.
    connection: u16,
    sidecar_away: u16,
}

/// A token that may be presented from some addresses alone, behind an nginx whose own clients say where they are: on a Unix
/// socket there is no address. What they say in any other way changes nothing.
async fn bound_to_addresses(proxy: &Proxy, world: &World) {
    let bound = ["--scope", "orders:read", "--address", "192.0.2.0/24", "--address", "2001:db8::/32"];
    let (bearer, _) = world.issue("bound", &bound);
    let ask = async |from: &str, lines: &str| {
        let from = if from.is_empty() { String::new() } else { format!("X-Test-Client: {from}\r\n") };
        proxy.ask(&format!("{bearer}{from}{lines}")).await.status
    };
    for inside in ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"] {
        assert_eq!(ask(inside, "").await, 200, "{inside}: {}", proxy.log());
    }
    for outside in ["198.51.100.7", "2001:db9::7", ""] {
        for forged in [
            "",
            "X-Real-IP: 192.0.2.7\r\n",
            "x-real-ip: 192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n",
            "X_Real_IP: 192.0.2.7\r\n",
            "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n",
            "Connection: X-Real-IP\r\nX-Real-IP: 192.0.2.7\r\n",
        ] {
            assert_eq!(ask(outside, forged).await, 403, "{outside}: {forged}");
        }
    }
    let narrower = ["credential", "update", "acme/bound", "--address", "192.0.2.0/28", "--wait"];
    let narrowed = world.jeton.as_root(&world.authority, &narrower).expect(0);
    assert!(narrowed.out.contains("complete"), "{narrowed:?}");
    assert_eq!(
        (ask("192.0.2.7", "").await, ask("192.0.2.17", "").await, ask("2001:db8::7", "").await),
        (200, 403, 403)
    );
    let anywhere = ["credential", "update", "acme/bound", "--no-addresses", "--json"];
    let widened = world.jeton.as_root(&world.authority, &anywhere).expect(0).json();
    assert_eq!(widened["revocation"], Value::Null, "what only gives has no receipt");
    let revision = widened["revision"].to_string();
    let secret = world.jeton.path("bound.secret");
    fs::write(&secret, bearer.trim().trim_start_matches("Authorization: Bearer ")).unwrap();
    // The sidecar has it then.
    let url = format!("http://{}", world.sidecar.http);
    let verify =
        ["verify", secret.to_str().unwrap(), "--at", &url, "--at-least-revision", &revision, "--max-age", "0s"];
    let _ = world.jeton.run(&verify).expect(0);
    assert_eq!((ask("198.51.100.7", "").await, ask("", "").await), (200, 200));
}

async fn a_tokens_life_behind(proxy: Proxy, world: World, expect: Expect) {
    let (bearer, identity) = world.issue("billing", &["--scope", "orders:read", "--subject", "svc:billing"]);
    let answer = proxy.ask(&bearer).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", proxy.log());
    assert_eq!(answer.identity(), identity);
    assert!(!answer.saw("authorization"), "the secret stays in front: {}", answer.body);

    // Whatever a client says of itself, the service hears the sidecar, or is not asked.
    let (nobody, nobody_identity) = world.issue("nobody", &["--scope", "orders:read"]);
    assert_eq!(nobody_identity.len(), 4, "without a subject");
    for (bearer, identity) in [(&bearer, &identity), (&nobody, &nobody_identity)] {
        for (forged, status) in [
            ("X-Jeton-Subject: root\r\n", 200),
            ("x-jeton-subject: root\r\nX-JETON-SUBJECT: admin\r\n", 200),
            (
                "X-Jeton-Token-Id: tok_1\r\nX-Jeton-Credential-Id: cred_1\r\nX-Jeton-Namespace: jeton\r\nX-Jeton-Scopes: admin@*\r\n",
                200,
            ),
            ("X-Jeton-Require-Scopes: orders:write\r\n", 200),
            ("X_Jeton_Subject: root\r\n", 200),
            ("X-Jeton_Subject: root\r\nX_Jeton-Scopes: admin@*\r\n", 200),
            ("x_jeton_subject: root\r\nX-Jeton-Subject: admin\r\n", 200),
            ("Connection: X-Jeton-Subject\r\n", expect.connection),
            ("Connection: x_jeton_subject, X-Jeton-Scopes\r\n", expect.connection),
        ] {
            let before = world.service.asked.load(Ordering::SeqCst);
            let answer = proxy.ask(&format!("{bearer}{forged}")).await;
            assert_eq!(answer.status, status, "{forged}: {answer:?}");
            if status == 200 {
                assert_eq!(&answer.identity(), identity, "{forged}");
            } else {
                assert_eq!(world.service.asked.load(Ordering::SeqCst), before, "{forged}");
            }
        }
    }

    let before = world.service.asked.load(Ordering::SeqCst);
    for lines in ["", "Authorization: Basic cm9vdDpyb290\r\n", "Authorization: Bearer acme_live_x\r\n"] {
        let answer = proxy.ask(lines).await;
        assert_eq!(answer.status, 401, "{lines}: {answer:?}");
        assert!(answer.head.contains("www-authenticate: bearer realm=\"jeton\""), "{}", answer.head);
    }
    let (weak, _) = world.issue("weak", &["--scope", "orders:list"]);
    assert_eq!(proxy.ask(&weak).await.status, 403);
    // The client cannot lower what the proxy demands.
    assert_eq!(proxy.ask(&format!("{weak}X-Jeton-Require-Scopes: orders:list\r\n")).await.status, 403);
    assert_eq!(proxy.ask(&format!("{bearer}{bearer}")).await.status, expect.two_authorizations);
    assert_eq!(proxy.ask(&format!("{weak}{bearer}")).await.status, expect.two_authorizations);
    assert_eq!(world.service.asked.load(Ordering::SeqCst), before, "the service was not asked");

    // A body goes to the service, not to the sidecar, whose limits are not the service's.
    let body = "a".repeat(100_000);
    let head =
        format!("POST /orders HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{bearer}Content-Length: 100000\r\n\r\n");
    let answer = proxy.send(&format!("{head}{body}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap()["body"], 100_000);

    let _ = world.jeton.as_root(&world.authority, &["revoke", "acme/billing", "--wait"]).expect(0);
    for _ in 0..10 {
        assert_eq!(proxy.ask(&bearer).await.status, 401, "at once, and for good");
    }
    assert_eq!(proxy.ask(&nobody).await.status, 200);

    // Without its authority a strict sidecar goes on until its lease is over, then says that it cannot say.
    world.authority.kill();
    let killed = Instant::now();
    let answer = loop {
        let answer = proxy.ask(&nobody).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(killed.elapsed() < PATIENCE, "it goes on for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);

    let before = world.service.asked.load(Ordering::SeqCst);
    world.sidecar.kill();
    let answer = proxy.ask(&nobody).await;
    assert_eq!(answer.status, expect.sidecar_away, "{answer:?}");
    assert_eq!(world.service.asked.load(Ordering::SeqCst), before, "nobody is let in unasked");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx() {
    let world = World::start().await;
    let folder = world.jeton.path("nginx");
    fs::create_dir(&folder).unwrap();
    let socket = folder.join("socket");
    let block = filled(
        &block(include_str!("../../../docs/howto/nginx.md"), "nginx"),
        &[
            (
                "listen 8080;",
                // So that a client on the socket has an address, as it has on a port.
                &format!("listen unix:{};\nset_real_ip_from unix:;\nreal_ip_header X-Test-Client;", socket.display()),
            ),
            ("127.0.0.1:7410", &world.sidecar.http.to_string()),
            ("127.0.0.1:9000", &world.service.address.to_string()),
        ],
    );
    let at = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .concat();
    // One process, so that none is left behind.
    let around = format!("daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr;\nevents {{}}\n");
    fs::write(folder.join("conf"), format!("{around}http {{\naccess_log off;\n{temporary}{block}}}\n")).unwrap();
    let conf = folder.join("conf");
    let arguments = ["-p", folder.to_str().unwrap(), "-e", "stderr", "-c", conf.to_str().unwrap()];
    let proxy = Proxy::start("nginx", &arguments, &folder, socket);
    // nginx itself refuses two `Authorization` headers, and passes no `Connection` header on.
    let expect = Expect { two_authorizations: 400, connection: 200, sidecar_away: 503 };
    bound_to_addresses(&proxy, &world).await;
    a_tokens_life_behind(proxy, world, expect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy() {
    let world = World::start().await;
    let folder = world.jeton.path("caddy");
    fs::create_dir(&folder).unwrap();
    let socket = folder.join("socket");
    let block = filled(
        &block(include_str!("../../../docs/howto/caddy.md"), "caddyfile"),
        &[
            (":8080 {", &format!("http:// {{\n\tbind unix/{}", socket.display())),
            ("127.0.0.1:7410", &world.sidecar.http.to_string()),
            ("127.0.0.1:9000", &world.service.address.to_string()),
        ],
    );
    let around = "{\n\tadmin off\n}\n";
    fs::write(folder.join("Caddyfile"), format!("{around}{block}")).unwrap();
    let arguments = ["run", "--config", "Caddyfile", "--adapter", "caddyfile"];
    let proxy = Proxy::start("caddy", &arguments, &folder, socket);
    let expect = Expect { two_authorizations: 401, connection: 400, sidecar_away: 502 };
    // On a Unix socket Caddy knows no address of its clients: whatever they say, they are in no range.
    let (bound, _) = world.issue("bound", &["--scope", "orders:read", "--address", "0.0.0.0/0", "--address", "::/0"]);
    for forged in ["", "X-Real-IP: 192.0.2.7\r\n", "X-Forwarded-For: 192.0.2.7\r\n", "Connection: X-Real-IP\r\n"] {
        assert_eq!(proxy.ask(&format!("{bound}{forged}")).await.status, 403, "{forged}");
    }
    a_tokens_life_behind(proxy, world, expect).await;
}
