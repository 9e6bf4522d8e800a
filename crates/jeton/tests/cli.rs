//! The command line: what each command prints, for people and for scripts, and how it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    cell::RefCell,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use jeton_testkit::{Authority, Jeton, Output, Web};
use serde_json::{Value, json};

/// An operator at an authority, who keeps everything that the commands say.
struct Desk {
    jeton: Jeton,
    authority: Authority,
    said: RefCell<Vec<String>>,
}

impl Desk {
    fn new() -> Self {
        let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
        let authority = jeton.serve("data");
        Self { jeton, authority, said: RefCell::default() }
    }

    fn with_acme() -> Self {
        let desk = Self::new();
        let _ = desk.run(&["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", "strict"]).expect(0);
        desk
    }

    fn keep(&self, output: Output) -> Output {
        self.said.borrow_mut().extend([output.out.clone(), output.err.clone()]);
        output
    }

    /// Runs a command as root.
    fn run(&self, arguments: &[&str]) -> Output {
        self.keep(self.jeton.as_root(&self.authority, arguments))
    }

    /// The document that a command prints with `--json`.
    #[track_caller]
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        self.run(&[arguments, &["--json"]].concat()).expect(code).json()
    }

    /// Runs a command as root with this on its standard input.
    fn fed(&self, arguments: &[&str], input: &str) -> Output {
        let path = self.jeton.path("standard-input");
        fs::write(&path, input).unwrap();
        let mut command = self.jeton.command_as_root(&self.authority, arguments);
        command.stdin(File::open(&path).unwrap());
        self.keep(Output::of(command))
    }

    /// Issues a token and gives its text: the one time that a command may say it.
    #[track_caller]
    fn issue(&self, credential: &str, more: &[&str]) -> String {
        let arguments = [&["issue", credential], more].concat();
        let output = self.jeton.as_root(&self.authority, &arguments).expect(0);
        assert_eq!(output.err, "");
        let token = output.out.strip_suffix('\n').unwrap();
        assert!(!token.contains(char::is_whitespace), "the secret alone");
        token.to_owned()
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], code: i32, says: &[&str]) {
        let output = self.run(arguments).expect(code);
        assert_eq!(output.out, "", "{arguments:?}");
        for words in says {
            assert!(output.err.contains(words), "{arguments:?}: `{words}` is not in: {}", output.err);
        }
    }
}

/// Every command, with what it wants.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (&["serve"], &["--data-dir", "--keys-dir", "--http", "--feed", "--config", "--plaintext"]),
    (
        &["sidecar"],
        &["--feed", "--namespace", "--token-file", "--http", "--id", "--drain", "--plaintext", "--state-dir"],
    ),
    (&["demo"], &["--headless", "--for"]),
    (&["namespace"], &["create", "list", "show"]),
    (&["namespace", "create"], &["--prefix", "--freshness", "--default-ttl", "grace=5m"]),
    (&["namespace", "list"], &[]),
    (&["namespace", "show"], &["<NAMESPACE>"]),
    (&["issue"], &["NS/NAME", "--subject", "--scope", "--label", "--ttl", "--out"]),
    (&["credential"], &["list", "show"]),
    (&["credential", "list"], &["<NAMESPACE>"]),
    (&["credential", "show"], &["<CREDENTIAL>"]),
    (&["token"], &["list", "show"]),
    (&["token", "list"], &["<CREDENTIAL>"]),
    (&["token", "show"], &["<TOKEN>"]),
    (&["rotate"], &["<CREDENTIAL>", "--overlap", "--out"]),
    (&["revoke"], &["--token-id", "--secret-file", "--namespace", "--wait", "--timeout", "--reason"]),
    (&["verify"], &["-|FILE", "--scope", "--at"]),
    (&["receipt"], &["REVOCATION", "--out", "--check", "--keys"]),
    (&["keys"], &[]),
    (&["verifiers"], &[]),
    (&["completions"], &["bash", "zsh", "fish"]),
];

#[test]
fn every_command_explains_itself() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let all = jeton.run(&["--help"]).expect(0).out;
    for (command, wants) in COMMANDS {
        let help = jeton.run(&[command, &["--help"][..]].concat()).expect(0);
        assert_eq!(help.err, "");
        assert!(help.out.contains(&format!("Usage: jeton {}", command.join(" "))), "{command:?}: {}", help.out);
        for want in *wants {
            assert!(help.out.contains(want), "{command:?} does not explain {want}: {}", help.out);
        }
        assert!(all.lines().any(|line| line.trim_start().starts_with(command[0])), "{command:?} is not listed");
        let talks = !matches!(command[0], "serve" | "sidecar" | "demo" | "completions");
        if talks && !wants.contains(&"list") {
            assert!(help.out.contains("JETON_URL") && help.out.contains("JETON_TOKEN_FILE"), "{command:?}");
        }
    }
    assert!(!all.contains("demo-"), "what only the demo runs is hidden");
    let version = jeton.run(&["--version"]).expect(0).out;
    assert!(version.starts_with("jeton ") && version.trim().split('.').count() == 3, "{version}");
}

#[test]
fn mistakes_of_usage_end_with_2() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    for arguments in [
        &[][..],
        &["nonsense"],
        &["issue"],
        &["issue", "--nonsense"],
        &["issue", "billing"],
        &["issue", "Acme/billing"],
        &["issue", "acme/a/b"],
        &["issue", "acme/billing", "--scope", "two words"],
        &["issue", "acme/billing", "--label", "novalue"],
        &["issue", "acme/billing", "--ttl", "soon"],
        &["issue", "acme/billing", "--ttl", "90"],
        &["namespace"],
        &["namespace", "create", "acme"],
        &["namespace", "create", "acme", "--prefix", "A"],
        &["namespace", "create", "acme", "--prefix", "acme", "--freshness", "lax"],
        &["namespace", "create", "acme", "--prefix", "acme", "--freshness", "grace=2h"],
        &["namespace", "show", "Acme"],
        &["credential", "show", "billing"],
        &["token", "show", "cred_01h455vb4pex5vsknk084sn02q"],
        &["rotate", "acme/billing", "--overlap", "-1s"],
        &["revoke"],
        &["revoke", "--wait"],
        &["revoke", "--namespace", "acme"],
        &["revoke", "--token-id", "billing"],
        &["revoke", "acme/billing", "--reason", "two\nlines"],
        &["verify"],
        &["receipt"],
        &["receipt", "tok_01h455vb4pex5vsknk084sn02q"],
        &["receipt", "rev_01h455vb4pex5vsknk084sn02q", "--check", "r.jws"],
        &["receipt", "rev_01h455vb4pex5vsknk084sn02q", "--keys", "k.json"],
        &["sidecar", "--namespace", "acme", "--token-file", "t"],
        &["sidecar", "--feed", "http://127.0.0.1:1", "--token-file", "t"],
        &["sidecar", "--feed", "http://127.0.0.1:1", "--namespace", "acme,", "--token-file", "t"],
        &["sidecar", "--feed", "http://127.0.0.1:1", "--namespace", "acme", "--token-file", "t", "--id", "a b"],
        &["serve", "--http", "localhost"],
        &["completions", "tcsh"],
        // The commands that do what is not built yet are not there.
        &["gateway"],
        &["agent"],
    ] {
        let output = jeton.run(arguments).expect(2);
        assert_eq!(output.out, "", "{arguments:?}");
        assert!(output.err.contains("Usage: jeton") || output.err.contains("error: "), "{arguments:?}: {}", output.err);
    }
}

#[test]
fn mistakes_that_show_only_later_end_with_2_as_well() {
    let desk = Desk::with_acme();
    let token = desk.issue("acme/billing", &[]);
    let text = |name: &str| desk.jeton.text(name);
    fs::write(desk.jeton.path("secret"), &token).unwrap();
    fs::write(desk.jeton.path("empty"), " \n").unwrap();
    fs::write(desk.jeton.path("k.json"), "[]").unwrap();
    fs::write(desk.jeton.path("r.jws"), "x").unwrap();
    let (secret, nowhere, below) = (text("secret"), text("nowhere/token"), text("secret/token"));
    for (arguments, says) in [
        (&["verify", "missing"][..], &["missing", "No such file"][..]),
        (&["verify", "empty"], &["holds no token"]),
        (&["verify", "-"], &["standard input holds no token"]),
        (&["verify", "secret", "--at", "https://127.0.0.1:1"], &["https is not supported yet"]),
        (&["verify", "secret", "--at", "127.0.0.1:7410"], &["does not begin with http://"]),
        (&["verify", token.as_str()], &["that is a token and no file", "replace it"]),
        (&["revoke", "--secret-file", token.as_str()], &["that is a token and no file"]),
        (&["namespace", "list", "--url", "ftp://x"], &["does not begin with http://", "http://127.0.0.1:7400"]),
        (&["namespace", "list", "--url", "http://me:hidden@127.0.0.1:1"], &["user and password"]),
        (&["receipt", "--check", "missing"], &["missing", "No such file"]),
        (&["receipt", "--check", "r.jws", "--keys", "missing"], &["missing", "No such file"]),
        (&["receipt", "--check", "r.jws", "--keys", "k.json"], &["not a JWK set", "jeton keys"]),
        // Where a secret has no place to go, none is made.
        (&["issue", "acme/more", "--out", &nowhere], &["no such folder"]),
        (&["issue", "acme/more", "--out", &below], &["Not a directory"]),
        (&["issue", "acme/more", "--out", "."], &["."]),
        (&["issue", "acme/more", "--out", "/dev/null"], &["not a regular file"]),
        (&["issue", "acme/more", "--json", "--out", &nowhere], &["no such folder"]),
        (&["rotate", "acme/billing", "--out", &nowhere], &["no such folder"]),
    ] {
        desk.refused(arguments, 2, says);
    }
    assert!(!desk.said.borrow().iter().any(|text| text.contains(&token) || text.contains("hidden")));
    assert_eq!(desk.json(&["credential", "list", "acme"], 0).as_array().unwrap().len(), 1, "nothing was issued");
    assert_eq!(desk.json(&["token", "list", "acme/billing"], 0).as_array().unwrap().len(), 1, "nothing was rotated");
    let _ = desk.run(&["verify", &secret]).expect(0);
}

#[test]
fn namespaces() {
    let desk = Desk::new();
    let created =
        desk.run(&["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", "strict"]).expect(0);
    assert!(created.out.contains("its tokens begin with acme_live_"), "{}", created.out);
    assert!(created.out.contains("nowhere later than 7s"), "the bound is told before it is needed: {}", created.out);
    let created = desk.run(&["namespace", "create", "shop", "--prefix", "shop", "--default-ttl", "90d"]).expect(0);
    assert!(created.out.contains("grace=5m") && created.out.contains("5m41s"), "{}", created.out);
    let created = desk.json(&["namespace", "create", "third", "--prefix", "third", "--freshness", "grace=30s"], 0);
    assert_eq!((&created["name"], &created["freshness"]), (&json!("third"), &json!("grace=30s")));
    assert!(created["default_ttl"].is_null() && created["revision"].is_u64(), "{created}");

    let listed = desk.json(&["namespace", "list"], 0);
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["acme", "jeton", "shop", "third"]);
    let listed = desk.run(&["namespace", "list"]).expect(0).out;
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["acme", "acme_live", "strict", "7s", "-"]);
    assert_eq!(lines[3][..3], ["shop", "shop", "grace=5m"]);
    assert_eq!(lines[3].last(), Some(&"90d"));

    assert_eq!(desk.json(&["namespace", "show", "shop"], 0)["default_ttl"], "90d");
    let shown = desk.run(&["namespace", "show", "acme"]).expect(0).out;
    assert!(shown.contains("prefix       acme_live") && shown.contains("strict: "), "{shown}");
    desk.refused(&["namespace", "show", "nobody"], 1, &["not_found"]);
    desk.refused(&["namespace", "show", "nobody", "--json"], 1, &["not_found"]);
    // A token without a life of its own has the namespace's.
    let issued = desk.json(&["issue", "shop/till"], 0);
    assert!(issued["token"]["expires_at"].is_string() && issued["credential"]["ttl"].is_null(), "{issued}");
}

#[test]
fn credentials_and_their_tokens() {
    let desk = Desk::with_acme();
    let more = [
        "--scope",
        "orders:read",
        "--scope",
        "a:b",
        "--subject",
        "svc:billing",
        "--label",
        "team=core",
        "--ttl",
        "30d",
    ];
    let issued = desk.json(&[&["issue", "acme/billing"], &more[..]].concat(), 0);
    let (credential, token) = (&issued["credential"], &issued["token"]);
    assert_eq!(credential["scopes"], json!(["a:b", "orders:read"]));
    assert_eq!((&credential["labels"], &credential["ttl"]), (&json!({ "team": "core" }), &json!("30d")));
    assert_eq!((&token["version"], &token["stage"], &token["state"]), (&json!(1), &json!("current"), &json!("active")));
    assert!(token["secret"].as_str().unwrap().starts_with("acme_live_"));
    assert!(issued["revision"].is_u64() && token["expires_at"].is_string(), "{issued}");

    let (id, token_id) = (credential["id"].as_str().unwrap(), token["id"].as_str().unwrap());
    assert!(id.starts_with("cred_") && token_id.starts_with("tok_"));
    for named in ["acme/billing", id] {
        let mut shown = desk.json(&["credential", "show", named], 0);
        let _ = shown["credential"]["usage"].take();
        assert_eq!((&shown["credential"], &shown["tokens"][0]["id"]), (credential, &token["id"]));
        let mut listed = desk.json(&["token", "list", named], 0);
        // Known until a little later than a moment before.
        for view in [&mut shown["tokens"][0], &mut listed[0]] {
            assert!(view["usage"]["known_until"].take().is_string(), "{view}");
        }
        assert_eq!(listed, shown["tokens"]);
    }
    let shown = desk.json(&["token", "show", token_id], 0);
    assert_eq!((&shown["hint"], &shown["credential_id"]), (&token["hint"], &credential["id"]));
    for arguments in [&["credential", "show", "acme/billing"][..], &["token", "list", id], &["token", "show", token_id]]
    {
        let out = desk.run(arguments).expect(0).out;
        assert!(out.contains(token_id) && out.contains(token["hint"].as_str().unwrap()), "{arguments:?}: {out}");
    }
    let out = desk.run(&["credential", "list", "acme"]).expect(0).out;
    assert!(out.contains("acme/billing") && out.contains("svc:billing") && out.contains("a:b orders:read"), "{out}");
    assert_eq!(desk.run(&["credential", "list", "jeton"]).expect(0).out.lines().count(), 2, "root under the head");

    desk.refused(&["credential", "show", "acme/nobody"], 1, &["not_found", "jeton credential list acme"]);
    desk.refused(&["credential", "show", "cred_01h455vb4pex5vsknk084sn02q"], 1, &["not_found"]);
    desk.refused(&["credential", "list", "nobody"], 1, &["not_found"]);
    desk.refused(&["token", "show", "tok_01h455vb4pex5vsknk084sn02q"], 1, &["not_found"]);
    desk.refused(&["token", "list", "acme/nobody"], 1, &["not_found"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_whole_however_long_it_is() {
    let (desk, web) = (Desk::with_acme(), Web::default());
    let root = desk.authority.root_token();
    // More than two pages.
    let issues = (0..250).map(|number| {
        let (web, root, at) = (web.clone(), root.clone(), desk.authority.http);
        tokio::spawn(async move {
            let body = json!({ "name": format!("n{number}") });
            web.post(at, "/v1/namespaces/acme/credentials", Some(&root), &body).await.unwrap().status
        })
    });
    for issue in issues.collect::<Vec<_>>() {
        assert_eq!(issue.await.unwrap(), 201);
    }
    let listed = desk.json(&["credential", "list", "acme"], 0);
    let mut names: Vec<&str> = listed.as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 250);
}

#[test]
fn a_secret_goes_into_a_file_of_its_owner_alone() {
    let desk = Desk::with_acme();
    let path = desk.jeton.path("billing.token");
    fs::write(&path, "what was there before, open to everybody").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let issued = desk.run(&["issue", "acme/billing", "--out", "billing.token"]).expect(0);
    assert_eq!(issued.out, "");
    let secret = fs::read_to_string(&path).unwrap();
    assert_eq!((secret.len(), fs::metadata(&path).unwrap().permissions().mode() & 0o7777), (60, 0o600));
    let hint = format!("acme_live_…{}", &secret.trim_end()[55..]);
    assert!(issued.err.contains(&hint) && issued.err.contains("billing.token"), "{}", issued.err);

    let rotated = desk.run(&["rotate", "acme/billing", "--out", "billing.token"]).expect(0);
    assert_eq!(rotated.out, "");
    assert!(rotated.err.contains("works on until"), "{}", rotated.err);
    let next = fs::read_to_string(&path).unwrap();
    assert_ne!(next, secret);
    for token in [&secret, &next] {
        assert!(desk.fed(&["verify", "-"], token).expect(0).out.starts_with("valid: "));
    }
    // With --json the document tells of the token, and the secret is in the file alone.
    let issued = desk.json(&["issue", "acme/more", "--out", "more.token"], 0);
    assert!(issued["token"]["id"].is_string() && issued["token"].get("secret").is_none(), "{issued}");
    let rotated = desk.json(&["rotate", "acme/more", "--out", "more.token"], 0);
    assert!(rotated["previous"]["id"].is_string() && rotated["token"].get("secret").is_none(), "{rotated}");
    let _ = desk.run(&["verify", "more.token"]).expect(0);
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with('.')), "no temporary file stays: {left:?}");
}

#[test]
fn rotation() {
    let desk = Desk::with_acme();
    let first = desk.issue("acme/billing", &["--scope", "orders:read"]);
    let rotated = desk.json(&["rotate", "acme/billing", "--overlap", "10m"], 0);
    let second = rotated["token"]["secret"].as_str().unwrap().to_owned();
    assert_eq!((&rotated["token"]["version"], &rotated["token"]["stage"]), (&json!(2), &json!("current")));
    assert_eq!((&rotated["previous"]["version"], &rotated["previous"]["stage"]), (&json!(1), &json!("previous")));
    assert_eq!(rotated["previous"]["state"], "active");
    assert!(rotated["previous"]["expires_at"].is_string() && rotated["token"]["expires_at"].is_null(), "{rotated}");
    let until = rotated["previous"]["expires_at"].as_str().unwrap();

    desk.refused(&["rotate", "acme/billing"], 1, &["rotation_in_progress", until]);
    desk.refused(&["rotate", "acme/billing", "--json"], 1, &["rotation_in_progress"]);
    desk.refused(&["rotate", "acme/nobody"], 1, &["not_found"]);
    for (token, version) in [(&first, 1), (&second, 2)] {
        let verdict: Value = desk.fed(&["verify", "-", "--json", "--scope", "orders:read"], token).expect(0).json();
        let shown = desk.json(&["token", "show", verdict["token_id"].as_str().unwrap()], 0);
        assert_eq!(shown["version"], version, "both work during the overlap");
    }
    // The old one revoked, the overlap is over: the next rotation may begin.
    let previous = rotated["previous"]["id"].as_str().unwrap();
    let _ = desk.run(&["revoke", "--token-id", previous]).expect(0);
    let third = desk.json(&["rotate", "acme/billing"], 0);
    assert_eq!(third["token"]["version"], 3);
    // A credential that was revoked as a whole gets a token again, and nothing works on.
    let _ = desk.run(&["revoke", "acme/billing"]).expect(0);
    let fourth = desk.jeton.as_root(&desk.authority, &["rotate", "acme/billing"]).expect(0);
    assert_eq!(fourth.err, "");
    let _ = desk.fed(&["verify", "-"], &fourth.out).expect(0);
    let _ = desk.fed(&["verify", "-"], &second).expect(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn verifying() {
    let (desk, web) = (Desk::with_acme(), Web::default());
    let sidecar = desk.jeton.sidecar(&desk.authority, "edge-1", "acme", &web).await;
    let at = format!("http://{}", sidecar.http);
    let token = desk.issue("acme/billing", &["--scope", "orders:read", "--subject", "svc:billing"]);
    fs::write(desk.jeton.path("found"), format!("  {token}\n\n")).unwrap();
    for place in [&[][..], &["--at", &at]] {
        let with = |arguments: &[&'static str]| [&["verify"], arguments, place].concat();
        let out = desk.run(&with(&["found"])).expect(0).out;
        assert!(
            out.starts_with("valid: tok_") && out.contains("acme, subject svc:billing, scopes orders:read"),
            "{out}"
        );
        let verdict: Value = desk.fed(&with(&["-", "--json", "--scope", "orders:read"]), &token).expect(0).json();
        assert_eq!((&verdict["valid"], &verdict["code"]), (&json!(true), &json!("valid")));
        assert_eq!(verdict["source"], if place.is_empty() { "authority" } else { "replica" });
        assert!(verdict["as_of"].is_string() && verdict["revision"].is_u64(), "{verdict}");

        let refused = desk.run(&with(&["found", "--scope", "orders:write"])).expect(1);
        assert!(refused.out.starts_with("insufficient_scope"), "{}", refused.out);
        let refused: Value = desk.fed(&with(&["-", "--json"]), &token[..token.len() - 1]).expect(1).json();
        assert_eq!((&refused["valid"], &refused["code"]), (&json!(false), &json!("malformed")));
    }
    // A sidecar asks for no token, and the authority is not asked.
    let mut command = desk.jeton.command(&["verify", "found", "--at", &at]);
    command.env("JETON_URL", "http://127.0.0.1:1");
    let _ = Output::of(command).expect(0);
    let _ = desk.run(&["revoke", "acme/billing", "--wait"]).expect(0);
    for place in [&[][..], &["--at", &at]] {
        assert!(desk.run(&[&["verify", "found"], place].concat()).expect(1).out.starts_with("revoked"));
    }
    // What is no authority is not taken for one.
    desk.refused(&["namespace", "list", "--url", &at], 1, &["not_found"]);
}

#[test]
fn revoking() {
    let desk = Desk::with_acme();
    let revoked = |arguments: &[&str]| desk.json(&[&["revoke"], arguments].concat(), 0);
    let billing = desk.issue("acme/billing", &[]);
    let _ = desk.run(&["rotate", "acme/billing", "--out", "billing-2"]).expect(0);
    let out = desk.run(&["revoke", "acme/billing", "--wait", "--reason", "found in a log"]).expect(0);
    assert!(out.out.starts_with("revoked 2 tokens of acme at revision "), "{}", out.out);
    assert!(out.out.ends_with("\ncomplete: no verifier serves acme\n"), "{}", out.out);
    assert!(out.err.contains("authority acked"), "{}", out.err);

    // Already ended: done, by the same revocation.
    let again = revoked(&["acme/billing", "--wait"]);
    assert!(out.out.contains(again["id"].as_str().unwrap()), "{again}");
    assert_eq!((&again["reason"], &again["receipt"]["state"]), (&json!("found in a log"), &json!("complete")));
    let by_its_secret: Value = desk.fed(&["revoke", "--secret-file", "-", "--json"], &billing).expect(0).json();
    assert_eq!(by_its_secret["id"], again["id"]);

    let one = desk.json(&["issue", "acme/one"], 0);
    let id = one["token"]["id"].as_str().unwrap();
    let view = revoked(&["--token-id", id, "--wait"]);
    assert_eq!((&view["count"], &view["tokens"]), (&json!(1), &json!([id])));
    fs::write(desk.jeton.path("found"), desk.issue("acme/two", &[])).unwrap();
    assert_eq!(revoked(&["--secret-file", "found", "--wait"])["count"], 1);
    let three = desk.issue("acme/three", &[]);
    let by_id = desk.json(&["credential", "show", "acme/three"], 0)["credential"]["id"].as_str().unwrap().to_owned();
    assert_eq!(revoked(&[&by_id])["count"], 1);
    let _ = desk.fed(&["verify", "-"], &three).expect(1);

    // What is not there, or not where one thinks that it is: 1, and nothing is ended.
    let _ = desk.run(&["namespace", "create", "other", "--prefix", "other"]).expect(0);
    let four = desk.issue("acme/four", &[]);
    let four_id = desk.json(&["token", "list", "acme/four"], 0)[0]["id"].as_str().unwrap().to_owned();
    fs::write(desk.jeton.path("found"), &four).unwrap();
    for selector in [&["acme/four"][..], &["--token-id", &four_id], &["--secret-file", "found"]] {
        let arguments = [&["revoke", "--namespace", "other"], selector].concat();
        desk.refused(&arguments, 1, &["nothing matched", "is in acme, not in other", "nothing was revoked"]);
    }
    desk.refused(&["revoke", "acme/nobody"], 1, &["not_found"]);
    desk.refused(&["revoke", "nobody/nobody"], 1, &["not_found"]);
    desk.refused(&["revoke", "--token-id", "tok_01h455vb4pex5vsknk084sn02q"], 1, &["not_found"]);
    for (secret, says) in [
        ("a letter", "not a token"),
        (&four[..four.len() - 1], "not a token"),
        (&four.replacen("acme_live", "nobody", 1), "no namespace that you may see has the prefix nobody"),
        (&four.replacen("acme_live", "other", 1), "not_found"),
    ] {
        let output = desk.fed(&["revoke", "--secret-file", "-"], secret).expect(1);
        assert!(output.out.is_empty() && output.err.contains(says), "{secret}: {}", output.err);
    }
    let _ = desk.run(&["verify", "found"]).expect(0);
    assert_eq!(revoked(&["--namespace", "acme", "acme/four"])["count"], 1);
    let _ = desk.run(&["verify", "found"]).expect(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_and_verifiers() {
    let (desk, web) = (Desk::new(), Web::default());
    let _ = desk.run(&["namespace", "create", "acme", "--prefix", "acme_live"]).expect(0);
    let sidecar = desk.jeton.sidecar(&desk.authority, "edge-1", "acme", &web).await;
    let (listed, out) = (desk.json(&["verifiers"], 0), desk.run(&["verifiers"]).expect(0).out);
    assert_eq!((&listed[0]["id"], &listed[0]["namespaces"]), (&json!("edge-1"), &json!(["acme"])));
    assert_eq!(listed[0]["state"], "live");
    assert!(out.starts_with("VERIFIER") && out.contains("edge-1") && out.contains("live"), "{out}");

    // Nobody answers for the frozen one: pending, and until when at the latest.
    let _ = desk.issue("acme/billing", &[]);
    sidecar.freeze();
    let pending = desk.run(&["revoke", "acme/billing", "--wait", "--timeout", "100ms"]).expect(1);
    assert!(pending.out.contains("pending: waiting for edge-1, complete by "), "{}", pending.out);
    let told = pending.err.lines().find(|line| line.starts_with("edge-1 ")).unwrap();
    assert!(told.contains(", cannot accept after "), "{told}");
    let view = desk.json(&["revoke", "acme/billing"], 0);
    assert_eq!(view["receipt"]["state"], "pending", "without --wait that is no failure");
    let id = view["id"].as_str().unwrap();
    assert_eq!(desk.json(&["receipt", id], 1)["receipt"]["state"], "pending");
    let out = desk.run(&["receipt", id]).expect(1).out;
    assert!(out.contains("pending") && out.contains("edge-1") && out.contains("authority acked"), "{out}");
    desk.refused(&["receipt", id, "--out", "r.jws"], 1, &["receipt_pending"]);
    assert!(!desk.jeton.path("r.jws").exists());
    desk.refused(&["receipt", "rev_01h455vb4pex5vsknk084sn02q"], 1, &["not_found"]);

    sidecar.wake();
    let complete = desk.run(&["revoke", "acme/billing", "--wait"]).expect(0);
    assert!(complete.out.contains("no verification that starts later accepts it, anywhere"), "{}", complete.out);
    assert!(complete.err.contains("edge-1 acked"), "{}", complete.err);
    assert_eq!(desk.json(&["receipt", id], 0)["receipt"]["state"], "complete");
    let saved = desk.run(&["receipt", id, "--out", "r.jws"]).expect(0);
    assert!(saved.out.is_empty() && saved.err.contains("jeton receipt --check r.jws"), "{}", saved.err);
    let saved = desk.json(&["receipt", id, "--out", "r.jws"], 0);
    assert_eq!(saved["id"], id);
    desk.refused(&["receipt", id, "--out", "nowhere/r.jws"], 2, &["no such folder"]);

    // Checked with the keys of the authority that runs, or with saved ones.
    let good = desk.run(&["receipt", "--check", "r.jws"]).expect(0).out;
    assert!(good.starts_with("good: no verification of namespace acme") && good.contains("edge-1 acked"), "{good}");
    assert!(good.contains("it rests on:") && good.contains("A1: "), "{good}");
    assert_eq!(desk.json(&["receipt", "--check", "r.jws"], 0)["state"], "complete");
    fs::write(desk.jeton.path("bad.jws"), [0xff, 0xfe, b'.']).unwrap();
    desk.refused(&["receipt", "--check", "bad.jws"], 1, &["does not check"]);

    // The keys are public: they need no token, and are the same for people and scripts.
    let url = desk.authority.url();
    let keys = desk.jeton.run(&["keys", "--url", &url]).expect(0);
    assert_eq!(keys.json()["keys"][0]["alg"], "EdDSA");
    assert_eq!(desk.jeton.run(&["keys", "--url", &url, "--json"]).expect(0).out, keys.out);
    fs::write(desk.jeton.path("k.json"), &keys.out).unwrap();
    let mut offline = desk.jeton.command(&["receipt", "--check", "r.jws", "--keys", "k.json", "--json"]);
    offline.env("JETON_URL", "http://127.0.0.1:1");
    assert_eq!(Output::of(offline).expect(0).json()["id"], id);
    // Another authority's keys do not fit.
    let other = desk.jeton.serve("other");
    desk.refused(&["receipt", "--check", "r.jws", "--url", &other.url()], 1, &["does not check"]);

    assert_eq!(sidecar.stop().code, 0);
    assert_eq!(desk.json(&["verifiers"], 0), json!([]), "goodbye is final");
}

#[test]
fn completions() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    for shell in ["bash", "zsh", "fish"] {
        let script = jeton.run(&["completions", shell]).expect(0);
        assert!(script.err.is_empty());
        for word in ["revoke", "secret-file", "namespace", "timeout"] {
            assert!(script.out.contains(word), "{shell} does not complete {word}");
        }
    }
    // A reader that goes away is no reason to panic.
    let mut command = jeton.command(&["completions", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));

    let script = jeton.run(&["completions", "bash"]).expect(0).out;
    let mut bash = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let ask = "\nCOMP_WORDS=(jeton rev) COMP_CWORD=1; _jeton jeton rev jeton; echo \"${COMPREPLY[@]}\"\n";
    bash.stdin.take().unwrap().write_all((script + ask).as_bytes()).unwrap();
    let answer = String::from_utf8(bash.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(answer.trim(), "revoke");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_said_twice() {
    let (desk, web) = (Desk::with_acme(), Web::default());
    let sidecar = desk.jeton.sidecar(&desk.authority, "edge-1", "acme", &web).await;
    let at = format!("http://{}", sidecar.http);
    let mut secrets = vec![desk.authority.root_token(), desk.issue("acme/billing", &["--scope", "a"])];
    let rotated = desk.jeton.as_root(&desk.authority, &["rotate", "acme/billing"]).expect(0);
    assert!(!rotated.err.contains(rotated.out.trim()), "{}", rotated.err);
    secrets.push(rotated.out.trim().to_owned());
    let issued = desk.jeton.as_root(&desk.authority, &["issue", "acme/more", "--json"]).expect(0);
    secrets.push(issued.json()["token"]["secret"].as_str().unwrap().to_owned());
    secrets.push(fs::read_to_string(desk.jeton.path("edge-1.token")).unwrap().trim().to_owned());
    fs::write(desk.jeton.path("found"), &secrets[1]).unwrap();
    for arguments in [
        &["namespace", "list"][..],
        &["credential", "list", "acme"],
        &["credential", "list", "jeton"],
        &["credential", "show", "acme/billing"],
        &["token", "list", "acme/billing"],
        &["verify", "found"],
        &["verify", "found", "--at", &at],
        &["verify", "found", "--scope", "b"],
        &["rotate", "acme/billing"],
        &["issue", "acme/billing"],
        &["issue", "acme/third", "--out", "third"],
        &["verifiers"],
        &["keys"],
        &["revoke", "--secret-file", "found", "--wait"],
        &["revoke", "--secret-file", "found", "--namespace", "jeton"],
        &["verify", "found"],
    ] {
        for more in [&[][..], &["--json"]] {
            let mut command = desk.jeton.command_as_root(&desk.authority, &[arguments, more].concat());
            // The most talkative that there is.
            command.env("RUST_LOG", "trace");
            desk.keep(Output::of(command));
        }
    }
    secrets.push(fs::read_to_string(desk.jeton.path("third")).unwrap().trim().to_owned());
    let said = desk.said.borrow();
    for secret in &secrets {
        let body = secret.rsplit_once('_').unwrap().1;
        for text in said.iter() {
            assert!(!text.contains(body) && !text.contains(&body[..20]), "{text}");
        }
    }
}
