//! What is packaged names the program as it is.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{path::PathBuf, process::Command};

fn packaging(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// By systemd itself where there is one; what must not be lost is looked at everywhere.
#[test]
fn the_unit_is_one_and_is_hardened() {
    let unit = packaging("jeton.service");
    for line in [
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "DynamicUser=yes",
        "CapabilityBoundingSet=",
        "UMask=0077",
        "StateDirectoryMode=0700",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jeton.service");
    std::fs::write(&path, unit.replace("/usr/local/bin/jeton", env!("CARGO_BIN_EXE_jeton"))).unwrap();
    match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("jeton.service"), "{said}");
        }
        Err(_) => println!("there is no systemd-analyze here: the unit was not verified by systemd"),
    }
}

/// The commands of unit and container file are commands of the program.
#[test]
fn what_is_started_exists() {
    for (name, command) in [("jeton.service", "serve --data-dir"), ("Containerfile", "CMD [\"serve\"]")] {
        assert!(packaging(name).contains(command), "{name}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_jeton")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout);
    for word in ["--data-dir", "JETON_DATA_DIR", "--http", "--feed", "--plaintext"] {
        assert!(help.contains(word), "{word}");
    }
}
