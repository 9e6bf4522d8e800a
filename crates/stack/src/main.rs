//! Plays seeds: `jeton-stack --seed N` one, with its timeline; `jeton-stack --seeds FROM..TO` many. `--fault NAME` leaves a rule of the
//! product out; `--report FILE` writes what it came to there too.

use std::process::ExitCode;

use jeton_stack::{play, run};
use jeton_types::fault::Fault;

const USAGE: &str = "usage: jeton-stack (--seed N | --seeds FROM..TO) [--fault NAME] [--report FILE]";

#[derive(Default)]
struct Arguments {
    seed: Option<u64>,
    seeds: Option<(u64, u64)>,
    fault: Option<Fault>,
    report: Option<String>,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments(std::env::args().skip(1)) else { return usage() };
    match (arguments.seed, arguments.seeds) {
        (Some(seed), None) => one(seed, arguments.fault),
        (None, Some((from, to))) => many(from, to, &arguments),
        _ => usage(),
    }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--seed" => arguments.seed = Some(value.parse().ok()?),
            "--seeds" => {
                let (from, to) = value.split_once("..")?;
                arguments.seeds = Some((from.parse().ok()?, to.parse().ok()?));
            }
            "--fault" => arguments.fault = Some(value.parse().ok()?),
            "--report" => arguments.report = Some(value),
            _ => return None,
        }
    }
    Some(arguments)
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    eprintln!("faults: {}", names.join(", "));
    ExitCode::from(2)
}

fn one(seed: u64, fault: Option<Fault>) -> ExitCode {
    let (history, simulated) = run(seed, &std::env::temp_dir(), fault);
    print!("{}", history.timeline());
    println!("seed {seed}: {} s, trace {:016x}, {:?}", simulated.as_secs_f64(), history.trace(), history.counts);
    let violations = history.violations();
    println!("{} violations", violations.len());
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(from: u64, to: u64, arguments: &Arguments) -> ExitCode {
    let sum = play(from..to, arguments.fault);
    println!("{sum}");
    if let Some(path) = &arguments.report
        && let Err(error) = std::fs::write(path, format!("{sum}\n"))
    {
        eprintln!("cannot write {path}: {error}");
        return ExitCode::FAILURE;
    }
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
