//! The audit trail and the offline doctor, as an operator types it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use jeton_testkit::Jeton;

fn jeton() -> Jeton {
    Jeton::new(env!("CARGO_BIN_EXE_jeton"))
}

fn read(jeton: &Jeton, name: &str) -> String {
    std::fs::read_to_string(jeton.path(name)).unwrap()
}

#[test]
fn a_trail_is_listed_exported_and_checked() {
    let jeton = jeton();
    let authority = jeton.serve("data");
    let run = |arguments: &[&str]| jeton.as_root(&authority, arguments);
    let _ = run(&["namespace", "create", "acme", "--prefix", "acme_live"]).expect(0);
    let _ = run(&["issue", "acme/billing"]).expect(0);
    let _ = run(&["revoke", "acme/billing", "--reason", "found in a log"]).expect(0);

    let listed = run(&["audit", "list", "--namespace", "acme"]).expect(0).out;
    let last = listed.lines().last().unwrap();
    assert!(
        last.contains("revocation.create") && last.contains("127.0.0.1") && last.ends_with("found in a log"),
        "{last}"
    );
    let online = run(&["audit", "verify", "--json"]).expect(0).json();
    assert_eq!(online["whole"], true, "{online}");
    let head = online["head"]["hash"].as_str().unwrap().to_owned();
    let _ = run(&["audit", "export", "--out", "a.jsonl"]).expect(0);
    let _ = run(&["audit", "export", "--namespace", "acme", "--out", "acme.jsonl"]).expect(0);
    assert_eq!(run(&["audit", "export"]).expect(0).out, read(&jeton, "a.jsonl"));
    assert_eq!(authority.stop().code, 0);

    // From here on there is no authority.
    let verify = |file: &str| jeton.run(&["audit", "verify", file, "--head", &head]);
    assert!(verify("a.jsonl").expect(0).out.starts_with("good: "));
    assert!(
        jeton.run(&["audit", "verify", "acme.jsonl"]).expect(0).out.starts_with("good as far as it goes: 3 entries")
    );
    let text = read(&jeton, "a.jsonl");
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(jeton.path("b.jsonl"), text.replace("found in a log", "a drill")).unwrap();
    let altered = verify("b.jsonl").expect(1);
    assert!(altered.err.contains(&format!("entry {} was altered", lines.len() - 1)), "{}", altered.err);
    std::fs::write(jeton.path("b.jsonl"), [&lines[..2], &lines[3..]].concat().join("\n") + "\n").unwrap();
    let dropped = verify("b.jsonl").expect(1);
    assert!(dropped.err.contains("entry 2 is missing"), "{}", dropped.err);
    std::fs::write(jeton.path("b.jsonl"), lines[..3].join("\n") + "\n").unwrap();
    let cut = verify("b.jsonl").expect(1);
    assert!(cut.err.contains("missing"), "{}", cut.err);
    let _ = verify("nothing.jsonl").expect(2);
}

#[test]
fn a_lost_root_token_is_replaced() {
    let jeton = jeton();
    let authority = jeton.serve("data");
    let doctor = || jeton.run(&["doctor", "root-token", "--data-dir", "data"]);
    let busy = doctor().expect(2);
    assert!(busy.err.contains("in use"), "{}", busy.err);
    let lost = authority.root_token();
    assert_eq!(authority.stop().code, 0);
    std::fs::remove_file(jeton.path("data/root.token")).unwrap();
    let replaced = doctor().expect(0).out;
    assert!(replaced.contains("data/root.token") && replaced.contains("rev_"), "{replaced}");
    let _ = jeton.run(&["doctor", "root-token", "--data-dir", "typo"]).expect(2);
    assert!(!jeton.path("typo").exists());

    let authority = jeton.serve("data");
    assert_ne!(authority.root_token(), lost);
    let listed = jeton.as_root(&authority, &["audit", "list"]).expect(0).out;
    assert!(listed.contains("root.replace"), "{listed}");
    let _ = jeton.as_root(&authority, &["audit", "verify"]).expect(0);
    std::fs::write(jeton.path("lost.token"), lost).unwrap();
    std::fs::set_permissions(jeton.path("lost.token"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let url = authority.url();
    let _ = jeton.run(&["namespace", "list", "--url", &url, "--token-file", "lost.token"]).expect(1);
    assert_eq!(authority.stop().code, 0);
}
