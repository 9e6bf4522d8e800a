//! The tree is the architecture diagram: dependencies point down only.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each crate's floor, as in ARCHITECTURE.md. A crate that is not here fails the test.
const FLOORS: &[(&str, u8)] = &[
    ("jeton-types", 0),
    ("jeton-lifecycle", 1),
    ("jeton-feed", 1),
    ("jeton-verifier", 1),
    ("jeton-api", 2),
    ("jeton-proto", 2),
    ("jeton-store", 2),
    ("jeton-host", 2),
    ("jeton-client", 2),
    ("jeton-authority", 3),
    ("jeton-edge", 3),
    ("jeton", 4),
];

/// Never linked by the product.
const PROOF: &[&str] = &["jeton-testkit", "jeton-bench", "jeton-sim", "jeton-model", "jeton-stack"];

/// What floors 0 and 1 must not reach, even through others.
const HEAVY: &[&str] = &["tokio", "hyper", "axum", "tonic", "rusqlite", "rustix", "getrandom", "mio", "socket2"];

#[test]
fn dependencies_point_down_only() {
    let metadata =
        MetadataCommand::new().manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).exec().unwrap();
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let from = package.name.as_str();
        if PROOF.contains(&from) {
            continue;
        }
        let Some(floor) = floors.get(from) else {
            wrong.push(format!("{from} has no floor: name it in ARCHITECTURE.md and in this test"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dep| dep.kind == DependencyKind::Normal) {
            let to = dependency.name.as_str();
            if PROOF.contains(&to) {
                wrong.push(format!("{from} links {to}, which is for proof only"));
            }
            if let Some(below) = floors.get(to)
                && (below > floor || (below == floor && *floor >= 3))
            {
                wrong.push(format!("{from} (floor {floor}) depends on {to} (floor {below})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Features for tests: the product has none of them.
const PROOF_FEATURES: &[(&str, &str)] =
    &[("jeton-store", "memory"), ("jeton-authority", "memory"), ("jeton-types", "fault"), ("jeton-feed", "fault")];

#[test]
fn the_product_has_no_feature_that_is_for_proof() {
    let metadata =
        MetadataCommand::new().manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).exec().unwrap();
    let mut wrong = Vec::new();
    for (of, feature) in PROOF_FEATURES {
        let owner = metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == *of).unwrap();
        assert!(owner.features.contains_key(*feature), "{of} has no feature {feature} any more");
        let (own, others) = ((*feature).to_owned(), [format!("{of}/{feature}"), format!("{of}?/{feature}")]);
        for package in metadata.workspace_packages() {
            let from = package.name.as_str();
            if PROOF.contains(&from) {
                continue;
            }
            for dependency in package.dependencies.iter().filter(|dep| dep.kind != DependencyKind::Development) {
                if dependency.name == *of && dependency.features.contains(&own) {
                    wrong.push(format!("{from} turns on {of}/{feature}"));
                }
            }
            // Neither may another feature bring it along, but one that is for proof itself.
            for (name, brings) in &package.features {
                if PROOF_FEATURES.contains(&(from, name.as_str())) {
                    continue;
                }
                if brings.iter().any(|what| others.contains(what) || (from == *of && *what == own)) {
                    wrong.push(format!("feature {name} of {from} turns on {of}/{feature}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The command line speaks to an authority through `jeton-client` alone, so that its retry rules, keys and errors hold
/// everywhere.
#[test]
fn the_command_line_has_no_http_of_its_own() {
    const CRATES: &[&str] =
        &["hyper", "hyper_util", "http", "http_body", "http_body_util", "reqwest", "ureq", "curl", "tonic", "axum"];
    const WORDS: &[&str] = &["TcpStream", "\"/v1/", "idempotency-key", "authorization", "Bearer "];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli");
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        looked_at += 1;
        for name in CRATES.iter().filter(|name| named(&text, name)) {
            wrong.push(format!("{} names the crate {name}", path.display()));
        }
        for word in WORDS.iter().filter(|word| text.contains(**word)) {
            wrong.push(format!("{} says {word}", path.display()));
        }
    }
    assert!(looked_at > 10, "the commands are somewhere else than {folder}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(named("use hyper::Uri;", "hyper") && named("::http::Method", "http"), "the search finds what it is for");
    assert!(!named("use hyper_util::rt;", "hyper") && !named("the http api", "http"));
}

/// Whether a path in this text begins with a crate of this name.
fn named(text: &str, name: &str) -> bool {
    let path = format!("{name}::");
    text.match_indices(&path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
    })
}

#[test]
fn the_rules_reach_no_runtime() {
    let metadata =
        MetadataCommand::new().manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).exec().unwrap();
    let resolve = metadata.resolve.as_ref().unwrap();
    let name_of = |id: &cargo_metadata::PackageId| metadata[id].name.to_string();
    let mut wrong = Vec::new();
    for (rule, _) in FLOORS.iter().filter(|(_, floor)| *floor <= 1) {
        let root = metadata.packages.iter().find(|package| package.name.as_str() == *rule).unwrap();
        let (mut open, mut seen) = (vec![root.id.clone()], Vec::new());
        while let Some(id) = open.pop() {
            let node = resolve.nodes.iter().find(|node| node.id == id).unwrap();
            for dependency in &node.deps {
                let linked = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
                if linked && !seen.contains(&dependency.pkg) {
                    seen.push(dependency.pkg.clone());
                    open.push(dependency.pkg.clone());
                }
            }
        }
        for reached in seen.iter().map(name_of).filter(|name| HEAVY.contains(&name.as_str())) {
            wrong.push(format!("{rule} reaches {reached}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
