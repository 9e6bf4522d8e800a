//! Every measurement still runs, at sizes that measure nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::process::Command;

/// The binary of `JETON_TEST_BINARY`, or one that is built now.
fn check(what: &str, expect: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton-bench"));
    command.args([what, "--small"]);
    if let Some(jeton) = std::env::var_os("JETON_TEST_BINARY") {
        command.arg("--jeton").arg(jeton);
    }
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {err}\n{out}");
    assert!(!out.contains("missed") && !out.contains(": met"), "{what} judges what it did not measure: {out}");
    for line in expect {
        assert!(out.contains(line), "{what} says nothing of `{line}`: {out}");
    }
}

#[test]
fn issue() {
    check("issue", &["| issues, 64 connections, per s |"]);
}

#[test]
fn auth() {
    check("auth", &["| bare hyper on one thread, µs of CPU |"]);
}

#[test]
fn receipt() {
    check("receipt", &["| 5 sessions, p50, ms |", "| 20 sessions, p99, ms |"]);
}

#[test]
fn memory() {
    check("memory", &["| a subject of 20 bytes each, bytes per token |"]);
}

#[test]
fn verify() {
    check("verify", &["| one in a stream of independent ones, ns |"]);
}
