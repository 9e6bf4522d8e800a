//! A verifier that nobody wrote from our code, with its bugs switched on, against the release binary: `conformance/`.
//!
//! What each case does, and what must be true of the authority after it, stands there. Here a sidecar of ours is put beside:
//! it serves the namespace of every case, and must not notice any of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use jeton_testkit::{Authority, Jeton, Output, Web, report};

/// The script with its arguments.
fn attack(arguments: &[&str]) -> Command {
    let python = std::env::var("JETON_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/attack.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script).args(arguments).stdin(Stdio::null());
    command
}

/// The same, pointed at an authority.
fn attack_on(authority: &Authority, more: &[&str]) -> Command {
    let (feed, http) = (authority.feed.to_string(), authority.url());
    let root = authority.data.join("root.token");
    let mut command = attack(&["--feed", &feed, "--http", &http, "--root-token", root.to_str().unwrap()]);
    command.args(more);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_with_bugs_harms_nobody_but_itself() {
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let mut authority = jeton.serve("data");
    let namespaces = Output::of(attack_on(&authority, &["--prepare"])).expect(0).out;
    let sidecar = jeton.sidecar(&authority, "beside", namespaces.trim(), &web).await;
    let beside = format!("http://{}", sidecar.http);
    // All but the first line of each case waits for leases to run out, so many may do so side by side.
    let played = Output::of(attack_on(&authority, &["--beside", &beside, "--at-once", "12"])).expect(0);
    let last = played.out.lines().last().expect("it says how many cases there were");
    report(&format!("bogo, a second verifier against the authority: {last}"));
    assert!(authority.runs(), "the authority goes on");
    assert_eq!(sidecar.stop().code, 0);
    assert_eq!(authority.stop().code, 0);
}

#[test]
fn each_case_says_what_it_does() {
    let listed = Output::of(attack(&["--list"])).expect(0).out;
    assert!(listed.lines().count() >= 40, "{listed}");
    assert!(listed.lines().all(|line| line.split_whitespace().count() >= 4), "{listed}");
}
