//! Plays seeds: `jeton-stack --seed N` one, with its timeline; `jeton-stack --seeds FROM..TO` many. With a path after it, what they
//! came to is written there too.

use std::process::ExitCode;

use jeton_stack::{play, run};

const USAGE: &str = "usage: jeton-stack --seed N | --seeds FROM..TO [REPORT]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--seed", seed] => seed.parse().map_or_else(|_| usage(), one),
        ["--seeds", range, report @ ..] if report.len() < 2 => {
            let numbers = range.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
            numbers.map_or_else(usage, |(from, to)| many(from, to, report.first().copied()))
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn one(seed: u64) -> ExitCode {
    let (history, simulated) = run(seed, &std::env::temp_dir());
    print!("{}", history.timeline());
    println!("seed {seed}: {} s, trace {:016x}, {:?}", simulated.as_secs_f64(), history.trace(), history.counts);
    let violations = history.violations();
    println!("{} violations", violations.len());
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(from: u64, to: u64, report: Option<&str>) -> ExitCode {
    let sum = play(from..to);
    println!("{sum}");
    if let Some(path) = report
        && let Err(error) = std::fs::write(path, format!("{sum}\n"))
    {
        eprintln!("cannot write {path}: {error}");
        return ExitCode::FAILURE;
    }
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
