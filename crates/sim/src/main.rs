//! `jeton-sim`: replays a world, or runs many.

use std::{num::NonZero, ops::Range, process::ExitCode, thread, time::Instant};

use clap::{ArgGroup, Parser};
use jeton_sim::{
    Ending, Plan,
    campaign::{Found, Until, campaign},
    run, seconds,
};
use jeton_types::fault::{Fault, inject};

/// The longest wait for a strict receipt that is promised, in milliseconds of the authority's clock.
const STRICT_RECEIPT_PROMISED: u64 = 7_750;

/// Jeton's own state machines in worlds that are drawn from numbers: faults of every kind, and what must hold all the same.
#[derive(Debug, Parser)]
#[command(name = "jeton-sim", group(ArgGroup::new("what").required(true).args(["seed", "seeds", "hours", "faults"])))]
struct Args {
    /// Replays the world of this number and tells what happened, on a page.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs the worlds of these numbers, the last one excluded: 0..2000.
    #[arg(long, value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Runs worlds until so many hours have passed in them.
    #[arg(long)]
    hours: Option<u64>,
    /// As many worlds as this at least, beside --hours.
    #[arg(long, default_value_t = 0)]
    worlds: u64,
    /// The first world of --hours.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Leaves a rule out, to see that it is noticed.
    #[arg(long, value_parser = fault)]
    fault: Option<Fault>,
    /// Names the rules that can be left out.
    #[arg(long)]
    faults: bool,
    /// Worlds that run at the same time; without it, one for each core.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.faults {
        Fault::ALL.iter().for_each(|fault| println!("{}", fault.name()));
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = args.seed {
        return replay(seed, args.fault);
    }
    let until = match (args.seeds, args.hours) {
        (Some(seeds), _) => Until::Seeds(seeds),
        (None, hours) => Until::Hours { from: args.from, hours: hours.unwrap_or_default(), worlds: args.worlds },
    };
    let threads = args.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let began = Instant::now();
    let found = campaign(&until, args.fault, threads);
    report(&found, args.fault, began.elapsed().as_secs_f64(), threads)
}

fn replay(seed: u64, fault: Option<Fault>) -> ExitCode {
    let _injected = inject(fault);
    let plan = Plan::draw(seed);
    let outcome = run(&plan, true);
    println!(
        "seed {seed}{}: {} verifiers, messages take up to {} ms, {} events are planned, {}",
        fault.map_or_else(String::new, |fault| format!(" with the fault {}", fault.name())),
        plan.verifiers,
        plan.delay_max,
        plan.actions.len(),
        match plan.ending {
            Ending::Heals => "every fault heals in its time".to_owned(),
            Ending::Core { cut, .. } => format!("then the faults stop, but for edge-{cut}"),
        }
    );
    let subjects = outcome.violation.as_ref().map(|violation| violation.subjects.clone()).unwrap_or_default();
    print!("{}", outcome.trace.page(&subjects));
    println!("trace {:016x}, {} of the world's own time", outcome.trace.hash(), seconds(outcome.lasted).trim());
    match outcome.violation {
        None => {
            println!(
                "holds: {} receipts, the longest strict one {} ms",
                outcome.seen.receipts, outcome.seen.strict_receipt_max
            );
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("VIOLATED at {}: {}", seconds(violation.t).trim(), violation.text);
            ExitCode::FAILURE
        }
    }
}

fn report(found: &Found, fault: Option<Fault>, took: f64, threads: usize) -> ExitCode {
    let hours = found.hours();
    println!("{} seeds, {hours} simulated hours, {took:.1} s on {threads} threads", found.seeds);
    let kinds = found.seen.kinds();
    for some in kinds.chunks(5) {
        let some: Vec<String> =
            some.iter().map(|(kind, count)| format!("{} {count}", kind.replace('_', " "))).collect();
        println!("  {}", some.join(", "));
    }
    let longest = found.seen.strict_receipt_max;
    println!("longest strict receipt: {longest} ms on the authority's clock ({STRICT_RECEIPT_PROMISED} promised)");
    println!("trace {:016x}", found.hash);
    println!("{} violations", found.violations.len());
    for (seed, violation) in &found.violations {
        let fault = fault.map_or_else(String::new, |fault| format!(" --fault {}", fault.name()));
        println!("  {}", violation.text);
        println!("  replay: cargo run --release -p jeton-sim -- --seed {seed}{fault}");
    }
    let never = if fault.is_none() { found.never() } else { Vec::new() };
    if !never.is_empty() {
        println!("never seen, so nothing is shown of it: {}", never.join(", "));
    }
    if found.violations.is_empty() && never.is_empty() && longest <= STRICT_RECEIPT_PROMISED {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    parsed.ok_or_else(|| "two numbers, as in 0..2000".to_owned())
}

fn fault(text: &str) -> Result<Fault, String> {
    text.parse().map_err(|_| "no fault has this name; see --faults".to_owned())
}
