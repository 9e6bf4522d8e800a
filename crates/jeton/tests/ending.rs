//! What ends authority, as an operator types it: exit codes, and what is said.

use jeton_testkit::{Jeton, Web};

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_end_authority_has_its_receipt() {
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let authority = jeton.serve("data");
    let url = format!("http://{}", authority.http);
    let root = |args: &[&str]| jeton.as_root(&authority, args);
    let _ = root(&["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", "strict"]).expect(0);
    let issue = |name: &str, label: &str| {
        let full = format!("acme/{name}");
        let issued =
            root(&["issue", &full, "--subject", "svc:x", "--scope", "a", "--scope", "b", "--label", label]).expect(0);
        issued.out.trim().to_owned()
    };
    let one = issue("one", "env=prod");
    let two = issue("two", "env=test");
    let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &web).await;
    let status = async |token: &str| web.auth(sidecar.http, token).await;
    assert_eq!((status(&one).await, status(&two).await), (200, 200));

    // Off and on again: one credential, then all of them.
    let said = root(&["credential", "disable", "acme/one", "--wait", "--reason", "looked odd"]).expect(0).out;
    assert!(said.contains("is disabled at revision") && said.contains("complete at"), "{said}");
    assert_eq!((status(&one).await, status(&two).await), (401, 200));
    let late = jeton.sidecar(&authority, "edge-2", "acme", &web).await;
    assert_eq!((web.auth(late.http, &one).await, web.auth(late.http, &two).await), (401, 200), "from a snapshot");
    let _ = root(&["credential", "enable", "acme/one"]).expect(0);
    let view = root(&["namespace", "disable", "acme", "--wait", "--json"]).expect(0).json();
    assert_eq!(view["revocation"]["receipt"]["state"], "complete", "{view}");
    assert_eq!((status(&one).await, status(&two).await), (401, 401));
    let later = jeton.sidecar(&authority, "edge-3", "acme", &web).await;
    assert_eq!((web.auth(later.http, &one).await, web.auth(late.http, &two).await), (401, 401));
    let _ = root(&["namespace", "enable", "acme"]).expect(0);
    let _ = root(&["credential", "update", "acme/two", "--scope", "a", "--wait"]).expect(0);
    assert_eq!((web.auth(late.http, &one).await, web.auth(later.http, &two).await), (200, 200));
    assert_eq!((status(&one).await, status(&two).await), (200, 200));
    let narrowed = root(&["credential", "show", "acme/two", "--json"]).expect(0).json();
    assert_eq!(narrowed["credential"]["scopes"], serde_json::json!(["a"]));

    // Selectors.
    let select = ["revoke", "--namespace", "acme", "--subject", "svc:x", "--label", "env=prod"];
    let tried = root(&[&select[..], &["--dry-run"]].concat()).expect(0).out;
    assert!(tried.starts_with("would revoke 1 token of acme; nothing was revoked\ntok_"), "{tried}");
    assert_eq!(status(&one).await, 200);
    let first = root(&[&select[..], &["--wait", "--json"]].concat()).expect(0).json();
    assert_eq!((status(&one).await, status(&two).await), (401, 200));
    let again = root(&[&select[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(again["id"], first["id"], "already ended: its receipt");
    let _ = root(&["revoke", "--namespace", "acme", "--subject", "svc:nobody"]).expect(1);
    let _ = root(&["revoke", "--subject", "svc:x"]).expect(2);
    let _ = root(&["revoke", "--namespace", "acme", "--issued-before", "yesterday"]).expect(2);

    // Found somewhere: whoever has it may end it, without any other token.
    std::fs::write(jeton.path("found"), format!("{two}\n")).unwrap();
    let _ = jeton.run(&["burn", "found", "--url", &url]).expect(0);
    let _ = root(&["revoke", "acme/two", "--wait"]).expect(0);
    assert_eq!(status(&two).await, 401);
    std::fs::write(jeton.path("nonsense"), "hello\n").unwrap();
    let _ = jeton.run(&["burn", "nonsense", "--url", &url]).expect(2);

    let _ = root(&["credential", "delete", "acme/two"]).expect(0);
    let _ = root(&["credential", "enable", "acme/two"]).expect(1);
    let deleted = root(&["credential", "list", "acme", "--state", "deleted", "--json"]).expect(0).json();
    assert_eq!(deleted.as_array().unwrap().len(), 1);

    // Over a hundred it asks; where nobody can answer, it says what to say.
    for number in 0..101 {
        let _ = root(&["issue", &format!("acme/many-{number}"), "--label", "set=many"]).expect(0);
    }
    let many = ["revoke", "--namespace", "acme", "--label", "set=many"];
    let asked = root(&many).expect(2);
    assert!(asked.err.contains("101 tokens") && asked.err.contains("--yes"), "{}", asked.err);
    let all = root(&[&many[..], &["--yes", "--json"]].concat()).expect(0).json();
    assert_eq!((&all["count"], &all["tokens_omitted"]), (&101.into(), &1.into()));
    for sidecar in [sidecar, late, later] {
        assert_eq!(sidecar.stop().code, 0);
    }
    assert_eq!(authority.stop().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_changes_under_a_living_sidecar() {
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let authority = jeton.serve("data");
    let root = |args: &[&str]| jeton.as_root(&authority, args);
    let _ = root(&["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", "grace=30s"]).expect(0);
    let token = root(&["issue", "acme/billing"]).expect(0).out.trim().to_owned();
    let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &web).await;

    let update = |to: &'static str| ["namespace", "update", "acme", "--freshness", to, "--wait"];
    let tighter = root(&update("strict")).expect(0).out;
    assert!(tighter.starts_with("shortened the grace of acme at revision "), "{tighter}");
    assert!(tighter.contains("every verification that starts later knows it, anywhere"), "{tighter}");
    let again = root(&update("strict")).expect(0).out;
    assert!(again.starts_with("namespace    acme\n") && again.contains("freshness    strict\n"), "{again}");
    let ttl = root(&["namespace", "update", "acme", "--default-ttl", "90d", "--json"]).expect(0).json();
    assert_eq!((&ttl["namespace"]["default_ttl"], &ttl["revocation"]), (&"90d".into(), &serde_json::Value::Null));
    let looser = root(&update("grace=1h")).expect(0).out;
    assert!(looser.starts_with("namespace    acme\n"), "a longer grace takes nothing away: {looser}");
    let _ = root(&["namespace", "update", "acme"]).expect(2);
    let _ = root(&["namespace", "update", "jeton", "--freshness", "grace=1m"]).expect(1);
    // It is what the sidecar goes by once it is alone.
    let caught_up = root(&["issue", "acme/later"]).expect(0).out.trim().to_owned();
    assert_eq!(web.auth(sidecar.http, &caught_up).await, 200);
    authority.kill();
    let started = std::time::Instant::now();
    loop {
        let verdict = web.post(sidecar.http, "/v1/verify", None, &serde_json::json!({ "token": token })).await;
        let verdict = verdict.expect("the sidecar answers").json();
        assert_eq!(verdict["valid"], true, "{verdict}");
        if verdict["source"] == "grace" {
            break;
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "{verdict}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
