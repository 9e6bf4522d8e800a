//! The product cannot be told to leave a rule out: what asks for it is not in the program.

use std::{env, fs, path::PathBuf};

/// Names of faults, as `--fault` takes them where there is one (`jeton-types`, `fault.rs`).
const NAMES: [&str; 4] = ["lease_from_receive", "no_floor_on_grant", "stale_snapshot", "old_is_rollback"];

fn is_in(program: &[u8], text: &str) -> bool {
    program.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_program_has_no_fault_point() {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_jeton"));
    let path = env::var_os("JETON_TEST_BINARY").map_or(built, PathBuf::from);
    let program = fs::read(&path).unwrap();
    for name in NAMES {
        assert!(!is_in(&program, name), "{} knows the fault {name}", path.display());
    }
    assert!(is_in(&program, "rolled back") || is_in(&program, "rollback"), "the search finds what is there");
    // And it is the names of the list that are looked for: this program of tests has them.
    let own = fs::read(env::current_exe().unwrap()).unwrap();
    assert!(NAMES.iter().all(|name| is_in(&own, name)));
}
