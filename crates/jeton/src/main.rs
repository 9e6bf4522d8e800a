//! `jeton`: parses, composes, runs. What is decided is decided in the crates below.

#![expect(unreachable_pub, reason = "a binary exports nothing: here `pub` means for the rest of it")]

mod args;
mod cli;
mod demo;
mod exit;
mod output;
mod panics;
#[cfg(test)]
mod reference;
mod serve;
mod settings;
mod sidecar;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    args::{Cli, Command},
    exit::{Exit, Outcome},
};

fn main() -> ExitCode {
    panics::install();
    let cli = Cli::parse();
    log();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("jeton: no runtime: {error}"));
            return Exit::Internal.into();
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::note(&format!("jeton: {failure}"));
            failure.exit.into()
        }
    }
}

async fn run(cli: Cli) -> Outcome {
    let json = cli.json;
    match cli.command {
        Command::Serve(args) => serve::run(args, json).await,
        Command::Sidecar(args) => sidecar::run(args, json).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Namespace(command) => cli::namespace::run(command, json).await,
        Command::Issue(args) => cli::issue::run(args, json).await,
        Command::Credential(command) => cli::credential::run(command, json).await,
        Command::Token(command) => cli::token::run(command, json).await,
        Command::Rotate(args) => cli::rotate::run(args, json).await,
        Command::Revoke(args) => cli::revoke::run(args, json).await,
        Command::Burn(args) => cli::burn::run(args, json).await,
        Command::Verify(args) => cli::verify::run(args, json).await,
        Command::Receipt(args) => cli::receipt::run(args, json).await,
        Command::Audit(command) => cli::audit::run(command, json).await,
        Command::Doctor(command) => cli::doctor::run(command, json).await,
        Command::Keys(connection) => cli::keys::run(connection).await,
        Command::Verifiers(connection) => cli::verifiers::run(connection, json).await,
        Command::Watch(args) => cli::watch::run(args, json).await,
        Command::Completions { shell } => cli::completions::run(shell),
        Command::DemoConsumer(args) => demo::consumer::run(args).await,
        Command::DemoControl(args) => demo::control::run(args).await,
    }
}

/// Logs go to standard error; `RUST_LOG` says how much, `warn` if unset.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
