//! `jeton completions`.

use clap::CommandFactory as _;

use crate::{
    args::Cli,
    exit::{Exit, Outcome},
    output,
};

pub fn run(shell: clap_complete::Shell) -> Outcome {
    // Into memory first: the generator panics when it cannot write, and a closed pipe is no bug.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "jeton", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
