//! What the command line carries.

use jeton_testkit::report;

use crate::world::{World, private};

/// So many canaries, each issued, verified, rotated and ended by commands; and commands that go wrong.
pub(crate) fn all(world: &mut World, count: usize) {
    for number in 0..count.div_ceil(2) {
        one(world, number);
    }
    report(&format!("canaries: {} commands", world.commands));
}

fn one(world: &mut World, number: usize) {
    let (credential, out) = (format!("acme/c-{number}"), world.jeton.text("first.token"));
    let json: &[&str] = if number.is_multiple_of(2) { &["--json"] } else { &[] };
    run(world, &[&["issue", &credential, "--scope", "orders:read", "--out", &out][..], json].concat(), "", 0);
    let first = secret(world, "first.token");

    run(world, &["verify", &out], "", 0);
    run(world, &[&["verify", "-", "--scope", "orders:read"][..], json].concat(), &first, 0);
    run(world, &["verify", "-", "--scope", "admin"], &first, 1);
    run(world, &["verify", "-"], &first[..first.len() - 1], 1);
    run(world, &["verify", "-"], &format!("{first} {first}"), 1);

    let next = world.jeton.text("second.token");
    let rotated = [&["rotate", &credential, "--overlap", "1h", "--out", &next][..], json].concat();
    run(world, &rotated, "", 0);
    let second = secret(world, "second.token");
    // A rotation is in progress; the name is taken; a token of another namespace speaks; the file is open to others.
    run(world, &rotated, "", 1);
    run(world, &["issue", &credential], "", 1);
    run(world, &["namespace", "list", "--token-file", &next], "", 2);
    match number % 4 {
        0 => run(world, &["revoke", "--secret-file", "-", "--wait"], &first, 0),
        1 => run(world, &["revoke", "--secret-file", &out, "--dry-run"], "", 0),
        2 => run(world, &["revoke", "--secret-file", "-", "--wait", "--json"], &second, 0),
        // An address may burn ten at once: after that it is told to wait, which the command does for a while.
        _ if number < 16 => run(world, &["burn", "-", "--reason", "found"], &second, 0),
        _ => run(world, &["revoke", "--secret-file", "-"], &format!("{second}x"), 1),
    }
    if number.is_multiple_of(4) {
        private(&world.jeton.path("open.token"), &first);
        open(world);
        let open = world.jeton.text("open.token");
        run(world, &["namespace", "list", "--token-file", &open], "", 2);
    }
}

/// Others may read it from now on.
fn open(world: &World) {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::set_permissions(world.jeton.path("open.token"), std::fs::Permissions::from_mode(0o644)).unwrap();
}

fn secret(world: &World, name: &str) -> String {
    let text = std::fs::read_to_string(world.jeton.path(name)).unwrap().trim().to_owned();
    world.kept.secret(&text);
    text
}

fn run(world: &mut World, arguments: &[&str], input: &str, code: i32) {
    let output = world.command(arguments, input);
    let err = String::from_utf8_lossy(&output.stderr);
    // At the loudest the last lines are those that a person would see.
    let end: Vec<&str> = err.lines().rev().take(3).collect();
    assert_eq!(output.status.code(), Some(code), "{}: {end:?}", arguments.join(" "));
}
