//! `jeton completions`.

use clap::CommandFactory as _;

use crate::{
    args::Cli,
    exit::{Exit, Outcome},
};

pub fn run(shell: clap_complete::Shell) -> Outcome {
    clap_complete::generate(shell, &mut Cli::command(), "jeton", &mut std::io::stdout());
    Ok(Exit::Done)
}
