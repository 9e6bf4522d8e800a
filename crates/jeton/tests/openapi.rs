//! A program that nobody here wrote reads the OpenAPI document and tries the real server by it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use jeton_testkit::Jeton;

#[test]
fn schemathesis_finds_nothing() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let authority = jeton.serve("data");
    let output = Command::new(schemathesis())
        .args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis.toml")])
        .args(["run", &format!("http://{}/openapi.json", authority.http), "--warnings", "off"])
        .env("JETON_TEST_TOKEN", authority.root_token())
        .env("NO_COLOR", "1")
        .current_dir(jeton.path("."))
        .output()
        .unwrap_or_else(|error| {
            panic!("schemathesis does not run ({error}): install it (./test does), or pip install schemathesis")
        });
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let calls = report.lines().find(|line| line.contains("generated")).unwrap_or_default();
    println!("schemathesis: {}", calls.trim());
    assert!(calls.contains("generated"), "it has called nothing:\n{report}");
    assert_eq!(authority.stop().code, 0);
}

/// Beside the Python of the tests, or wherever the system finds it.
fn schemathesis() -> PathBuf {
    let beside = std::env::var_os("JETON_TEST_PYTHON").map(|python| Path::new(&python).with_file_name("schemathesis"));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("schemathesis"))
}
