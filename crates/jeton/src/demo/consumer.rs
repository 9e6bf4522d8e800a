//! A consumer of the demo: a process that presents its token all the time, reads its token file again when that
//! changes, and tries the next sidecar after 250 ms or a 503.

use std::{net::SocketAddr, path::Path};

use jeton_host::files::{FileWatch, Look, read_private};
use jeton_types::Secret;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::probe::{PATIENCE, Probe};
use crate::{
    args::DemoConsumerArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

/// What a consumer reports, one line of JSON each: counts since it started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Requests that a sidecar accepted.
    pub accepted: u64,
    /// Requests that none accepted.
    pub failed: u64,
    /// Times that it went on to the next sidecar.
    pub moved_on: u64,
    /// What is shown of the token it presents.
    pub hint: String,
    /// The longest that one request took, in microseconds.
    pub slowest_us: u64,
    /// The status that made the last request fail; 0 if there was no answer.
    pub last_failure: Option<u16>,
}

/// How often it reports.
const REPORT_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

pub async fn run(args: DemoConsumerArgs) -> Outcome {
    if args.sidecars.is_empty() {
        return Err(Failure::usage("a consumer needs at least one sidecar"));
    }
    let probe = Probe::new();
    let mut watch = FileWatch::new(&args.token_file);
    let mut token = load(&args.token_file)?;
    let mut report = Report { hint: jeton_types::token::hint(token.expose()), ..Report::default() };
    let mut turn = 0;
    let mut beat = interval(args.every.duration());
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported = Instant::now();
    let stop = jeton_host::signal::shutdown_signal().map_err(Failure::internal)?;
    tokio::pin!(stop);
    loop {
        tokio::select! {
            _ = &mut stop => break,
            _ = beat.tick() => {}
        }
        if matches!(watch.look(), Look::Changed) {
            token = load(&args.token_file)?;
            report.hint = jeton_types::token::hint(token.expose());
        }
        turn += 1;
        let started = Instant::now();
        request(&probe, &args.sidecars, &token, turn, &mut report).await;
        report.slowest_us = report.slowest_us.max(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            tell(&report)?;
        }
    }
    tell(&report)?;
    Ok(Exit::Done)
}

async fn request(probe: &Probe, sidecars: &[SocketAddr], token: &Secret<String>, turn: usize, report: &mut Report) {
    let mut last = 0;
    // Round robin, as a load balancer would do it.
    for attempt in 0..sidecars.len() {
        let place = (turn + attempt) % sidecars.len();
        match probe.auth(sidecars[place], token, PATIENCE).await {
            Some(200) => {
                report.accepted += 1;
                return;
            }
            None | Some(503) => report.moved_on += 1,
            Some(status) => {
                last = status;
                break;
            }
        }
    }
    report.failed += 1;
    report.last_failure = Some(last);
}

fn load(path: &Path) -> Result<Secret<String>, Failure> {
    read_private(path).map_err(Failure::usage)
}

fn tell(report: &Report) -> Result<(), Failure> {
    output::line(&serde_json::to_string(report).map_err(Failure::internal)?)
}
