//! What authority and sidecar measure: Prometheus's own checker finds nothing, and the reference page lists all of it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use jeton_testkit::{Jeton, Web};

/// What a family of metrics is.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    seen: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_clean_and_listed() {
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let authority = jeton.serve("data");
    let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme_live"]).expect(0);
    let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &web).await;
    let token = jeton.text("billing.token");
    let _ = jeton.as_root(&authority, &["issue", "acme/billing", "--out", &token]).expect(0);
    let _ = jeton.as_root(&authority, &["verify", &token]).expect(0);
    let secret = std::fs::read_to_string(&token).unwrap();
    assert_eq!(web.auth(sidecar.http, secret.trim()).await, 200);
    assert_eq!(web.auth(sidecar.http, "nonsense").await, 401);
    let _ = jeton.as_root(&authority, &["revoke", "acme/billing", "--wait"]).expect(0);

    let of_authority = web.get(authority.http, "/metrics", Some(&authority.root_token())).await.unwrap();
    let of_sidecar = web.get(sidecar.http, "/metrics", None).await.unwrap();
    let mut page = "# Metrics\n\n\
        In the Prometheus text format, in base units: a name that ends in `_seconds` is in seconds, one in `_bytes` in bytes, one in `_total` counts since the\n\
        start, any other is a plain number. A histogram has `_bucket`, `_sum` and `_count`. Generated from what the processes say.\n"
        .to_owned();
    for (title, about, answer) in [
        (
            "Authority",
            "`GET /metrics` on 7400, with a token of an admin or auditor of `*`. The label `verifier` has at most 1,000 names, then `_other`.",
            of_authority,
        ),
        ("Sidecar", "`GET /metrics` on 7410.", of_sidecar),
    ] {
        assert_eq!(answer.status, 200, "{title}");
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!text.contains(&secret.trim()["acme_live_".len()..][..43]), "{title}: a secret");
        promtool(title, &text);
        write!(
            page,
            "\n## {title}\n\n{about}\n\n| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n"
        )
        .unwrap();
        for (name, family) in families(&text) {
            assert!(
                family.seen,
                "{title}: {name} has no sample here, so its labels are not known: let the test make one"
            );
            let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let unit =
                ["seconds", "bytes"].iter().find(|unit| name.ends_with(&format!("_{unit}"))).copied().unwrap_or("");
            writeln!(
                page,
                "| `{name}` | {} | {unit} | {} | {} |",
                family.kind,
                labels.join(", "),
                family.help.trim_end_matches('.')
            )
            .unwrap();
        }
    }
    check("metrics.md", &page);
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            help.clone_into(&mut families.entry(name.to_owned()).or_default().help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
        } else if !line.starts_with('#') && !line.is_empty() {
            let name = line.split(['{', ' ']).next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            let family = match of_histogram.filter(|base| families.contains_key(*base)) {
                Some(base) => families.get_mut(base),
                None => families.get_mut(name),
            };
            let family = family.unwrap_or_else(|| panic!("no HELP and TYPE before {line}"));
            family.seen = true;
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
            let names = labels.split(',').filter_map(|label| label.split_once("=\"")).map(|(label, _)| label);
            family.labels.extend(names.filter(|label| *label != "le").map(str::to_owned));
        }
    }
    families
}

fn promtool(title: &str, metrics: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("promtool does not run ({error}): install it (./test does; Debian: apt-get install prometheus)")
        });
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{title}: {said}");
}

/// The alerts speak of metrics that there are, and Prometheus takes them.
#[test]
fn the_alerts_are_rules_over_these_metrics() {
    let path = root().join("packaging/alerts.yml");
    let output = Command::new("promtool").args(["check", "rules"]).arg(&path).output().unwrap_or_else(|error| {
        panic!("promtool does not run ({error}): install it (./test does; Debian: apt-get install prometheus)")
    });
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let alerts = std::fs::read_to_string(&path).unwrap();
    let listed = std::fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap();
    let operate = std::fs::read_to_string(root().join("docs/howto/operate.md")).unwrap();
    let words = alerts.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    for name in words.filter(|word| word.starts_with("jeton_")) {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
        assert!(
            listed.contains(&format!("`{name}`")) || listed.contains(&format!("`{base}`")),
            "there is no metric {name}"
        );
    }
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(operate.contains(&format!("`{name}`")), "docs/howto/operate.md does not say what {name} means");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[track_caller]
fn check(name: &str, made: &str) {
    let path = root().join("docs/reference").join(name);
    if std::env::var_os("JETON_BLESS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "docs/reference/{name} is not what the processes say: run this test with JETON_BLESS=1; first difference: {differs:?}"
    );
}
