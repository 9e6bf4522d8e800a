//! What goes wrong around the product: ports, folders, files, databases, an authority that is away. Each fault is told in
//! words that help and by its exit code, and when it is over everything is still there.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use jeton_testkit::{Authority, Jeton, Output, Web};
use serde_json::json;

/// How long something that comes by itself may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder in which an authority has been, with a namespace and a token.
struct Before {
    jeton: Jeton,
    /// Holds the token.
    token: PathBuf,
}

impl Before {
    /// The authority was stopped in good order.
    fn new() -> Self {
        let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
        let before = Self { token: jeton.path("billing.token"), jeton };
        assert_eq!(before.populated().stop().code, 0);
        before
    }

    fn populated(&self) -> Authority {
        let authority = self.jeton.serve("data");
        let create = ["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", "strict"];
        let _ = self.jeton.as_root(&authority, &create).expect(0);
        let _ = self.jeton.as_root(&authority, &["issue", "acme/billing", "--out", "billing.token"]).expect(0);
        authority
    }

    /// Tries to start an authority and expects this end and these words.
    fn refused(&self, arguments: &[&str], code: i32, says: &[&str]) -> String {
        said(self.jeton.run(&[&["serve"], arguments].concat()), code, says)
    }

    /// An authority on the same folder, started as it should be, knows the namespace and the token.
    fn still_there(&self) -> Authority {
        let authority = self.jeton.serve("data");
        self.known_to(&authority);
        authority
    }

    fn known_to(&self, authority: &Authority) {
        let shown = self.jeton.as_root(authority, &["namespace", "show", "acme", "--json"]).expect(0).json();
        assert_eq!(shown["prefix"], "acme_live");
        let verdict = self.jeton.as_root(authority, &["verify", "billing.token", "--json"]).expect(0).json();
        assert_eq!(verdict["code"], "valid");
    }

    fn data(&self) -> String {
        self.jeton.text("data")
    }
}

/// The command ended so, and said so: one line for a person, nothing for a script.
#[track_caller]
fn said(output: Output, code: i32, says: &[&str]) -> String {
    let output = output.expect(code);
    assert_eq!(output.out, "");
    assert!(output.err.starts_with("jeton: "), "{}", output.err);
    for words in says {
        assert!(output.err.contains(words), "`{words}` is not in: {}", output.err);
    }
    assert!(!output.err.contains("panicked"), "{}", output.err);
    output.err
}

fn with_mode(path: &Path, content: &str, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_port_in_use() {
    let before = Before::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (data, free) = (before.data(), "127.0.0.1:0");
    for (flag, other) in [("--http", "--feed"), ("--feed", "--http")] {
        let arguments = ["--data-dir", &data, flag, &taken, other, free];
        before.refused(&arguments, 2, &[&taken, "in use", "stop the other process or choose another", flag]);
    }
    let authority = before.still_there();
    let _ = before
        .jeton
        .as_root(&authority, &["issue", "jeton/edge-1", "--scope", "verifier@acme", "--out", "e"])
        .expect(0);
    let feed = format!("http://{}", authority.feed);
    let arguments =
        ["sidecar", "--feed", &feed, "--namespace", "acme", "--token-file", "e", "--http", &taken, "--id", "e"];
    said(before.jeton.run(&arguments), 2, &[&taken, "in use", "--http"]);
}

#[test]
fn an_address_beyond_loopback_needs_a_word() {
    let before = Before::new();
    let (data, free) = (before.data(), "127.0.0.1:0");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        for (flag, other) in [("--http", "--feed"), ("--feed", "--http")] {
            let arguments = ["--data-dir", &data, flag, address, other, free];
            before.refused(&arguments, 2, &["beyond loopback", "plain text", flag, "--plaintext"]);
        }
    }
    // The word given, it is not the loopback rule that refuses an address of somebody else's.
    let arguments = ["--data-dir", &data, "--http", "192.0.2.1:0", "--feed", free, "--plaintext"];
    before.refused(&arguments, 2, &["not an address of this machine", "--http"]);
    with_mode(&before.jeton.path("e"), &fs::read_to_string(before.jeton.path("data/root.token")).unwrap(), 0o600);
    let sidecar =
        ["sidecar", "--feed", "http://127.0.0.1:1", "--namespace", "acme", "--token-file", "e", "--http", "0.0.0.0:0"];
    said(before.jeton.run(&sidecar), 2, &["beyond loopback", "--plaintext"]);
    drop(before.still_there());
}

#[test]
fn folders_that_cannot_be_used() {
    let before = Before::new();
    let jeton = &before.jeton;
    fs::write(jeton.path("file"), "mine").unwrap();
    fs::create_dir(jeton.path("foreign")).unwrap();
    fs::write(jeton.path("foreign/diary.txt"), "mine").unwrap();
    fs::write(jeton.path("foreign/root.token"), "mine").unwrap();
    let free = ["--http", "127.0.0.1:0", "--feed", "127.0.0.1:0"];
    let refused = |folder: &str, says: &[&str]| {
        before.refused(&[&["--data-dir", folder][..], &free].concat(), 2, &[says, &[folder]].concat());
    };
    // These hold for root too, who may write everywhere else.
    refused(&jeton.text("file"), &["is not a folder", "choose another"]);
    refused(&jeton.text("file/below"), &["is not a folder", "choose another"]);
    refused("/proc/jeton-data", &["cannot create"]);
    refused("/sys/jeton-data", &["/sys/jeton-data"]);
    refused(&jeton.text("foreign"), &["other files", "choose an empty or a new folder"]);
    for (name, content) in [("file", "mine"), ("foreign/diary.txt", "mine"), ("foreign/root.token", "mine")] {
        assert_eq!(fs::read_to_string(jeton.path(name)).unwrap(), content);
    }
    assert_eq!(fs::read_dir(jeton.path("foreign")).unwrap().count(), 2, "nothing was put there");

    let (data, keys) = (before.data(), jeton.text("file/keys"));
    before.refused(&[&["--data-dir", &data, "--keys-dir", &keys][..], &free].concat(), 2, &[&keys]);
    drop(before.still_there());
}

#[test]
fn keys_that_cannot_be_used() {
    let before = Before::new();
    let (data, key) = (before.data(), before.jeton.path("data/keys/signing.pem"));
    let arguments = ["--data-dir", &data, "--http", "127.0.0.1:0", "--feed", "127.0.0.1:0"];
    let good = fs::read_to_string(&key).unwrap();
    with_mode(&key, &good, 0o644);
    before.refused(&arguments, 2, &["signing.pem", "chmod 600"]);
    with_mode(&key, "-----BEGIN SOMETHING ELSE-----\n", 0o600);
    let err = before.refused(&arguments, 2, &["signing.pem"]);
    assert!(!err.contains("SOMETHING"), "{err}");
    with_mode(&key, &good, 0o600);
    drop(before.still_there());
}

#[test]
fn two_servers_on_one_folder() {
    let before = Before::new();
    let authority = before.still_there();
    let (data, free) = (before.data(), "127.0.0.1:0");
    let arguments = ["--data-dir", data.as_str(), "--http", free, "--feed", free];
    before.refused(&arguments, 2, &["in use by another jeton (process ", "stop that one or choose another folder"]);
    before.known_to(&authority);
    // However the first one ends, its folder is free.
    authority.kill();
    let authority = before.still_there();
    assert_eq!(authority.stop().code, 0);
    drop(before.still_there());
}

#[test]
fn a_corrupt_database() {
    const PAGE: usize = 4_096;
    let before = Before::new();
    let path = before.jeton.path("data/jeton.db");
    let good = fs::read(&path).unwrap();
    assert!(good.len() > 10 * PAGE && good.len().is_multiple_of(PAGE));
    let data = before.data();
    let arguments = ["--data-dir", &data, "--http", "127.0.0.1:0", "--feed", "127.0.0.1:0"];
    let check = |bytes: &[u8], code: i32, says: &[&str]| {
        fs::write(&path, bytes).unwrap();
        before.refused(&arguments, code, says);
        assert_eq!(fs::read(&path).unwrap(), bytes, "what might still be saved is not written to");
    };
    for page in 0..good.len() / PAGE {
        let mut bad = good.clone();
        bad[page * PAGE..page * PAGE + 16].iter_mut().for_each(|byte| *byte ^= 0xff);
        check(&bad, 4, &["the database is corrupt", "put back a backup"]);
    }
    check(&good[..good.len() / 2 / PAGE * PAGE], 4, &["the database is corrupt", "put back a backup"]);
    check(&good[..100], 4, &["the database is corrupt", "put back a backup"]);
    check(b"a letter to somebody", 4, &["the database is corrupt", "put back a backup"]);

    // Not there, or nothing in it: not to be taken for a first start, with every revocation forgotten.
    check(b"", 4, &["missing or empty", "root.token is from an earlier start", "put back a backup"]);
    fs::remove_file(&path).unwrap();
    before.refused(&arguments, 4, &["missing or empty", "put back a backup"]);
    assert!(!path.exists());

    // Whole, but somebody else's, or of a version to come.
    let marked = |at: usize, to: [u8; 4]| [&good[..at], &to, &good[at + 4..]].concat();
    check(&marked(68, [0, 0, 0, 7]), 2, &["belongs to another program"]);
    check(&marked(60, [0, 0, 0, 99]), 2, &["schema 99", "use a later jeton"]);

    fs::write(&path, &good).unwrap();
    drop(before.still_there());
}

#[test]
fn token_files_that_cannot_be_used() {
    let before = Before::new();
    let authority = before.still_there();
    let jeton = &before.jeton;
    let foreign = fs::read_to_string(&before.token).unwrap();
    let root = authority.root_token();
    fs::create_dir(jeton.path("folder")).unwrap();
    with_mode(&jeton.path("open"), &root, 0o640);
    with_mode(&jeton.path("empty"), "", 0o600);
    with_mode(&jeton.path("letter"), "dear jeton\n", 0o600);
    with_mode(&jeton.path("broken"), &root[..root.len() - 1], 0o600);
    with_mode(&jeton.path("foreign"), &foreign, 0o600);
    with_mode(&jeton.path("long"), &"x".repeat(5_000), 0o600);
    with_mode(&jeton.path("bytes"), "", 0o600);
    fs::write(jeton.path("bytes"), [0xff, 0xfe]).unwrap();
    let (url, feed) = (authority.url(), format!("http://{}", authority.feed));
    for (file, says) in [
        ("missing", &["there is no file", "check the path"][..]),
        ("folder", &["is not a regular file"]),
        ("open", &["may be read or changed by others", "chmod 600", "mode 0640"]),
        ("empty", &["is empty"]),
        ("letter", &["not a token"]),
        ("broken", &["not a token"]),
        ("foreign", &["of another namespace", "begins with jtn_"]),
        ("long", &["is longer than"]),
        ("bytes", &["is not text"]),
        ("letter/below", &["Not a directory"]),
    ] {
        let cli = ["namespace", "list", "--url", &url, "--token-file", file];
        let sidecar = [
            "sidecar",
            "--feed",
            &feed,
            "--namespace",
            "acme",
            "--token-file",
            file,
            "--http",
            "127.0.0.1:0",
            "--id",
            "e",
        ];
        for arguments in [&cli[..], &sidecar] {
            let err = said(jeton.run(arguments), 2, &[says, &[file]].concat());
            for secret in [root.trim(), foreign.trim(), "dear jeton"] {
                assert!(!err.contains(secret), "{err}");
            }
        }
    }
    // No file at all: the message says where one comes from.
    said(jeton.run(&["namespace", "list", "--url", &url]), 2, &["--token-file", "JETON_TOKEN_FILE", "root.token"]);
    let mut command = jeton.command(&["namespace", "list", "--url", &url]);
    said(
        Output::of({
            command.env("JETON_TOKEN", "x");
            command
        }),
        2,
        &["JETON_TOKEN", "not a token"],
    );
    let mut command = jeton.command(&["namespace", "list", "--url", &url]);
    let _ = Output::of({
        command.env("JETON_TOKEN", &root);
        command
    })
    .expect(0);

    // One of the right form that is not good (any more): the authority's answer, not a mistake of usage.
    let _ = jeton.as_root(&authority, &["issue", "jeton/ended", "--scope", "admin@*", "--out", "ended"]).expect(0);
    let _ = jeton.as_root(&authority, &["revoke", "jeton/ended", "--wait"]).expect(0);
    said(jeton.run(&["namespace", "list", "--url", &url, "--token-file", "ended"]), 1, &["unauthenticated", "revoked"]);
    before.known_to(&authority);
}

#[test]
fn settings_that_cannot_be_used() {
    let before = Before::new();
    let (jeton, data) = (&before.jeton, before.data());
    let free = ["--http", "127.0.0.1:0", "--feed", "127.0.0.1:0"];
    for (text, says) in [
        ("data = \"x\"\n", &["unknown field `data`", "data_dir"][..]),
        (
            "http = \"here\"\nfeed = \"there\"\n",
            &["http = \"here\" is no address", "feed = \"there\" is no address", "127.0.0.1:7400"],
        ),
        ("http = 7400\n", &["invalid type"]),
        ("data_dir = \n", &["line 1"]),
        ("data_dir = \"a\"\ndata_dir = \"b\"\n", &["duplicate key"]),
    ] {
        fs::write(jeton.path("jeton.toml"), text).unwrap();
        before.refused(&[&["--config", "jeton.toml"][..], &free].concat(), 2, &[says, &["jeton.toml"]].concat());
    }
    before.refused(&["--config", "nowhere.toml"], 2, &["nowhere.toml", "No such file"]);
    assert!(!jeton.path("jeton-data").exists(), "nothing was made on the way");

    // A good one, and what wins over it: the environment over the file, a flag over both.
    let file = format!("data_dir = \"{data}\"\nhttp = \"192.0.2.1:1\"\nfeed = \"192.0.2.1:1\"\n");
    fs::write(jeton.path("jeton.toml"), file).unwrap();
    before.refused(&["--config", "jeton.toml"], 2, &["192.0.2.1:1", "beyond loopback"]);
    let mut command = jeton.command(&["serve", "--config", "jeton.toml", "--feed", "192.0.2.3:3"]);
    command.env("JETON_HTTP", "127.0.0.1:0").env("JETON_FEED", "192.0.2.2:2").env("JETON_COLOUR", "none of ours");
    said(Output::of(command), 2, &["192.0.2.3:3"]);
    let mut command = jeton.command(&["serve", "--config", "jeton.toml"]);
    command.env("JETON_HTTP", "here");
    let output = Output::of(command).expect(2);
    assert!(output.err.contains("here") && output.err.contains("--http"), "{}", output.err);
    drop(before.still_there());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_away() {
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let before = Before { token: jeton.path("billing.token"), jeton };
    let authority = before.populated();
    let jeton = &before.jeton;
    let _ = jeton
        .as_root(&authority, &["issue", "jeton/edge-1", "--scope", "verifier@acme", "--out", "edge-1.token"])
        .expect(0);
    let (http, feed, url) = (authority.http, authority.feed, authority.url());
    authority.kill();

    for arguments in [
        &["namespace", "create", "more", "--prefix", "more"][..],
        &["namespace", "list"],
        &["namespace", "show", "acme"],
        &["issue", "acme/more", "--out", "more.token"],
        &["credential", "list", "acme"],
        &["credential", "show", "acme/billing"],
        &["token", "list", "acme/billing"],
        &["rotate", "acme/billing", "--out", "more.token"],
        &["revoke", "acme/billing", "--wait"],
        &["revoke", "--secret-file", "billing.token"],
        &["verify", "billing.token"],
        &["receipt", "rev_01h455vb4pex5vsknk084sn02q"],
        &["keys"],
        &["verifiers", "--json"],
    ] {
        let arguments = [arguments, &["--url", &url, "--token-file", "data/root.token"]].concat();
        said(jeton.run(&arguments), 3, &["cannot reach", &url, "is it running there?", "JETON_URL"]);
    }
    assert!(!jeton.path("more.token").exists());

    // A sidecar that finds nobody lives, says what it waits for, and lets nobody in.
    let token = fs::read_to_string(&before.token).unwrap();
    let sidecar = jeton.sidecar_unready(feed, "edge-1", "acme");
    assert_eq!(web.get(sidecar.http, "/livez", None).await.unwrap().status, 200);
    let why = until_not_ready_because(&web, sidecar.http, "cannot reach").await;
    assert!(why.contains(&feed.to_string()) && why.contains("is it running there?"), "{why}");
    assert_eq!(web.auth(sidecar.http, token.trim()).await, 503);
    let answer = web.post(sidecar.http, "/v1/verify", None, &json!({ "token": token.trim() })).await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("stale")));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(web.get(sidecar.http, "/metrics", None).await.unwrap().status, 200);
    let at = format!("http://{}", sidecar.http);
    said(jeton.run(&["verify", "billing.token", "--at", &at]), 3, &["stale"]);

    // It comes back by itself.
    let authority = jeton.serve_at("data", http, feed);
    before.known_to(&authority);
    sidecar.until_ready(&web).await;
    assert_eq!(web.auth(sidecar.http, token.trim()).await, 200);
    assert_eq!(sidecar.stop().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_the_authority_refuses_says_why() {
    let before = Before::new();
    let (authority, jeton, web) = (before.still_there(), &before.jeton, Web::default());
    let token = fs::read_to_string(&before.token).unwrap();
    for (name, scope) in [("elsewhere", "verifier@other"), ("auditor", "auditor@acme"), ("ended", "verifier@acme")] {
        let (credential, out) = (format!("jeton/{name}"), format!("{name}.token"));
        let _ = jeton.as_root(&authority, &["issue", &credential, "--scope", scope, "--out", &out]).expect(0);
    }
    let _ = jeton.as_root(&authority, &["revoke", "jeton/ended", "--wait"]).expect(0);
    for (name, namespace, says) in [
        ("elsewhere", "acme", "verifier@acme"),
        ("auditor", "acme", "verifier@acme"),
        ("elsewhere", "other", "other"),
        ("ended", "acme", "token"),
    ] {
        let sidecar = jeton.sidecar_unready(authority.feed, name, namespace);
        let why = until_not_ready_because(&web, sidecar.http, says).await;
        assert!(!why.contains(token.trim()), "{why}");
        assert_eq!(web.auth(sidecar.http, token.trim()).await, 503, "{name}: {why}");
        assert_eq!(web.get(sidecar.http, "/livez", None).await.unwrap().status, 200);
        assert_eq!(sidecar.stop().code, 0);
    }
    // A better token in its file is enough: no restart.
    let sidecar = jeton.sidecar_unready(authority.feed, "ended", "acme");
    let _ = until_not_ready_because(&web, sidecar.http, "token").await;
    let _ = jeton
        .as_root(&authority, &["issue", "jeton/again", "--scope", "verifier@acme", "--out", "ended.token"])
        .expect(0);
    sidecar.until_ready(&web).await;
    assert_eq!(web.auth(sidecar.http, token.trim()).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_dies_while_a_receipt_is_waited_for() {
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let before = Before { token: jeton.path("billing.token"), jeton };
    let authority = before.populated();
    let jeton = &before.jeton;
    let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &web).await;
    let root = authority.root_token();
    sidecar.freeze();
    let mut waiting = jeton.command_as_root(&authority, &["revoke", "acme/billing", "--wait"]);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = BufReader::new(waiting.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("edge-1 ") {
        // It comes to an end by itself, at the latest when the time to wait is over.
        assert_ne!(err.read_line(&mut said).unwrap(), 0, "{said}");
    }
    let all = web.get(authority.http, "/v1/revocations", Some(&root)).await.unwrap().json();
    let id = all["items"][0]["id"].as_str().unwrap().to_owned();
    let (http, feed) = (authority.http, authority.feed);
    authority.kill();
    err.read_to_string(&mut said).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(3), "{said}");
    assert!(said.contains("JETON_URL") && said.contains("is committed"), "{said}");
    assert!(said.contains(&format!("jeton receipt {id}")), "{said}");
    sidecar.wake();
    let authority = jeton.serve_at("data", http, feed);
    let again = jeton.as_root(&authority, &["revoke", "acme/billing", "--wait", "--json"]).expect(0).json();
    assert_eq!((again["id"].as_str(), again["receipt"]["state"].as_str()), (Some(id.as_str()), Some("complete")));
    let _ = jeton.as_root(&authority, &["verify", "billing.token"]).expect(1);
}

/// Waits until `/readyz` says why it is not ready, in these words.
async fn until_not_ready_because(web: &Web, sidecar: SocketAddr, says: &str) -> String {
    let started = Instant::now();
    loop {
        let answer = web.get(sidecar, "/readyz", None).await.unwrap();
        let why = String::from_utf8(answer.body.to_vec()).unwrap();
        if answer.status == 503 && why.contains(says) {
            assert!(why.starts_with("not ready: "), "{why}");
            return why;
        }
        if answer.status == 200 || started.elapsed() > PATIENCE {
            panic!("{} {why}, and not `{says}`", answer.status);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
