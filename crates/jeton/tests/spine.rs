//! One token's life on one machine, as an operator types it: from `serve` to a receipt that is checked offline.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::process::{Command, Stdio};

use jeton_testkit::{Jeton, Web};

fn jeton() -> Jeton {
    Jeton::new(env!("CARGO_BIN_EXE_jeton"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tokens_life() {
    let (jeton, web) = (jeton(), Web::default());
    let authority = jeton.serve("data");
    let said =
        jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", "strict"]);
    assert!(said.expect(0).out.contains("7s"), "the bound is told before it is needed");

    let issued = jeton
        .as_root(&authority, &["issue", "acme/billing", "--scope", "orders:read", "--subject", "svc:billing"])
        .expect(0);
    let token = issued.out.strip_suffix('\n').unwrap();
    let tail = token.strip_prefix("acme_live_").unwrap();
    assert!(tail.len() == 49 && tail.bytes().all(|byte| byte.is_ascii_alphanumeric()), "one token and nothing else");

    let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &web).await;
    let answer = web.get(sidecar.http, "/auth", Some(token)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.header("x-jeton-token-id").starts_with("tok_"));
    assert!(answer.header("x-jeton-credential-id").starts_with("cred_"));
    assert_eq!(answer.header("x-jeton-namespace"), "acme");
    assert_eq!(answer.header("x-jeton-subject"), "svc:billing");
    assert_eq!(answer.header("x-jeton-scopes"), "orders:read");

    let revoked = jeton
        .as_root(&authority, &["revoke", "acme/billing", "--wait", "--json", "--reason", "found in a log"])
        .expect(0);
    let view = revoked.json();
    assert_eq!(view["receipt"]["state"], "complete", "{view}");
    assert_eq!(view["count"], 1);
    let lines: Vec<(&str, &str)> = view["receipt"]["verifiers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["id"].as_str().unwrap(), line["state"].as_str().unwrap()))
        .collect();
    assert!(lines.contains(&("authority", "acked")) && lines.contains(&("edge-1", "acked")), "{lines:?}");
    assert_eq!(web.auth(sidecar.http, token).await, 401, "at once");

    // Again: already ended, the same receipt.
    let again = jeton.as_root(&authority, &["revoke", "acme/billing", "--wait", "--json"]).expect(0).json();
    assert_eq!(again["id"], view["id"]);

    let id = view["id"].as_str().unwrap();
    let keys = jeton.as_root(&authority, &["keys"]).expect(0).out;
    std::fs::write(jeton.path("k.json"), keys).unwrap();
    let _ = jeton.as_root(&authority, &["receipt", id, "--out", "r.jws"]).expect(0);
    assert_eq!(sidecar.stop().code, 0);
    assert_eq!(authority.stop().code, 0);

    let check = |file: &str| jeton.run(&["receipt", "--check", file, "--keys", "k.json"]);
    let good = check("r.jws").expect(0);
    assert!(good.out.contains("no verification of namespace acme"), "{}", good.out);
    every_changed_character_is_noticed(&jeton, &check);
    python_agrees(&jeton);
}

fn every_changed_character_is_noticed(jeton: &Jeton, check: &dyn Fn(&str) -> jeton_testkit::Output) {
    let good = std::fs::read(jeton.path("r.jws")).unwrap();
    assert!(!good.contains(&b'\n'), "compact, without a newline");
    // One process for each place would take minutes: the library's own test changes every character; here every part is hit.
    let places = (0..good.len()).step_by(good.len() / 60).chain([good.len() - 1]);
    for place in places.chain((0..good.len()).filter(|place| good[*place] == b'.')) {
        for other in [b'A', b'B', b'.', b' '] {
            if good[place] == other {
                continue;
            }
            let mut bad = good.clone();
            bad[place] = other;
            std::fs::write(jeton.path("bad.jws"), bad).unwrap();
            let output = check("bad.jws");
            assert_eq!(output.code, 1, "character {place}: {}", output.err);
            break;
        }
    }
    let mut longer = good;
    longer.push(b'\n');
    std::fs::write(jeton.path("bad.jws"), longer).unwrap();
    assert_eq!(check("bad.jws").code, 1);
}

/// A JOSE library that nobody here wrote verifies the same file with the same keys.
fn python_agrees(jeton: &Jeton) {
    const SCRIPT: &str = r#"
import json, sys, jwt
keys, token = json.load(open(sys.argv[1])), open(sys.argv[2]).read()
kid = jwt.get_unverified_header(token)["kid"]
key = next(jwt.PyJWK.from_dict(key) for key in keys["keys"] if key["kid"] == kid)
payload = json.loads(jwt.api_jws.decode(token, key, algorithms=["EdDSA"]))
assert payload["state"] == "complete" and payload["namespace"] == "acme", payload
try:
    jwt.api_jws.decode(token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"), key, algorithms=["EdDSA"])
except jwt.InvalidTokenError:
    print("verified")
"#;
    let python = std::env::var("JETON_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python)
        .args(["-c", SCRIPT, &jeton.text("k.json"), &jeton.text("r.jws")])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.trim(), "verified", "needs Python with PyJWT and cryptography (./test installs them): {err}");
}
