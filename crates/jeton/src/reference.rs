//! The reference pages that the program itself knows best, made anew and compared with the tree. `JETON_BLESS=1`
//! writes them.

use std::{fmt::Write as _, path::PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory as _};
use jeton_api::problem::Code;

use crate::{args::Cli, settings::File};

#[track_caller]
fn check(name: &str, made: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if std::env::var_os("JETON_BLESS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "docs/reference/{name} is not what the program says: run this test with JETON_BLESS=1; first difference: {differs:?}"
    );
}

#[test]
fn errors() {
    let mut page = "# Error codes\n\n\
        Every refusal of the HTTP API is a problem (RFC 9457, `application/problem+json`) with one of these as `code`. A command that is\n\
        refused prints the code and exits as told here. Generated from the one table, `crates/api/src/problem.rs`.\n\n\
        | code | HTTP | gRPC | exit | meaning |\n| --- | --- | --- | --- | --- |\n"
        .to_owned();
    for code in Code::ALL {
        let (grpc, exit) = (code.grpc(), code.exit().number());
        writeln!(page, "| `{code}` | {} | {} {grpc:?} | {exit} | {} |", code.status(), grpc.number(), code.about())
            .unwrap();
    }
    check("errors.md", &page);
}

#[test]
fn cli() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut page = "# Command line\n\nGenerated from the program's own declaration, `crates/jeton/src/args.rs`.\n\n\
        Exit codes: 0 done; 1 refused (an invalid token, a receipt not complete in time, nothing matched, a file that does not check);\n\
        2 usage (also files, folders, ports); 3 unreachable (also `stale`, 429, 503); 4 internal (corruption, a failed sync).\n"
        .to_owned();
    describe(&command, "", &mut page);
    check("cli.md", &page);
}

fn describe(command: &Command, before: &str, page: &mut String) {
    let name = format!("{before}{}", command.get_name());
    if !command.has_subcommands() || before.is_empty() {
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").trim();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        write!(page, "\n## `{name}`\n\n{about}\n\n```\n{usage}\n```\n").unwrap();
        let shown = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
        let own = |arg: &&Arg| before.is_empty() || arg.get_id() != "json";
        let arguments: Vec<&Arg> = command.get_arguments().filter(shown).filter(own).collect();
        if !arguments.is_empty() {
            page.push_str("\n| argument | environment | default | meaning |\n| --- | --- | --- | --- |\n");
        }
        for arg in arguments {
            let (environment, default) = (environment(arg), default(arg));
            writeln!(page, "| `{}` | {environment} | {default} | {} |", spelled(arg), meaning(arg)).unwrap();
        }
    }
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        describe(below, &format!("{name} "), page);
    }
}

fn spelled(arg: &Arg) -> String {
    let values =
        arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    match arg.get_long() {
        Some(long) if takes => format!("--{long} {values}").replace('|', "\\|"),
        Some(long) => format!("--{long}"),
        None => values.replace('|', "\\|"),
    }
}

fn environment(arg: &Arg) -> String {
    arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default()
}

/// The default: declared, or said in the help.
fn default(arg: &Arg) -> String {
    let declared = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if !declared.is_empty() && matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
        return format!("`{declared}`");
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let said =
        help.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']')).map(|(said, _)| said.to_owned());
    said.unwrap_or_default()
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    help.split(" [default: ").next().unwrap_or_default().replace('|', "\\|")
}

#[test]
fn settings() {
    let mut page = "# Settings\n\n\
        A flag wins over the environment, the environment over the file (`jeton serve --config FILE`, TOML), the file over the default.\n\
        A name in the file that is not here is refused; unknown variables `JETON_*` are ignored. Generated from the declarations in\n\
        `crates/jeton/src`.\n"
        .to_owned();
    let mut command = Cli::command();
    command.build();
    for name in ["serve", "sidecar"] {
        let process = command.find_subcommand(name).unwrap();
        write!(page, "\n## `jeton {name}`\n\n| flag | environment | in the file | default | meaning |\n| --- | --- | --- | --- | --- |\n").unwrap();
        for arg in process
            .get_arguments()
            .filter(|arg| !["help", "version", "json", "config"].contains(&arg.get_id().as_str()))
        {
            let key = arg.get_id().as_str();
            let in_file = if name == "serve" && file_keys().contains(&key.to_owned()) {
                format!("`{key}`")
            } else {
                String::new()
            };
            let (environment, default) = (environment(arg), default(arg));
            writeln!(page, "| `{}` | {environment} | {in_file} | {default} | {} |", spelled(arg), meaning(arg))
                .unwrap();
        }
    }
    page.push_str(
        "\n## Everywhere\n\n| environment | meaning |\n| --- | --- |\n\
         | `JETON_TOKEN` | your token itself, where there is no `--token-file` and no `JETON_TOKEN_FILE`; a file is better kept secret |\n\
         | `RUST_LOG` | how much is logged to standard error: `warn` unless set, `info` with a line for each request |\n",
    );
    check("settings.md", &page);
    let declared = command
        .find_subcommand("serve")
        .unwrap()
        .get_arguments()
        .map(|arg| arg.get_id().to_string())
        .collect::<Vec<_>>();
    for key in file_keys() {
        assert!(declared.contains(&key), "{key} of the settings file has no flag");
    }
}

/// The names that a settings file may hold, as its parser tells them.
fn file_keys() -> Vec<String> {
    let error = toml::from_str::<File>("no_such_name = 1").unwrap_err().to_string();
    let (_, known) = error.split_once("expected one of").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
