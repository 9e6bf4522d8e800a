//! Counts the reports of one stream, beside it: acknowledgements and renewals wait for no report.

use std::{sync::Arc, time::Duration};

use jeton_feed::{authority::StreamId, message::ToVerifier, usage::Report};
use jeton_store::{
    Store,
    model::{UsageFrom, UsageTaken},
};
use jeton_types::SessionId;
use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};
use tracing::warn;

use super::handle::Shared;

/// Reports of one stream that wait. A verifier has one under way, and some more at its goodbye.
const REPORTS_MAX: usize = 64;
/// Until a report is tried again that the store did not take.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Where the stream hands its reports in.
pub(super) struct Counting {
    reports: mpsc::Sender<Report>,
    /// It spoke of what its session does not serve.
    pub(super) foreign: Arc<Notify>,
}

impl Counting {
    /// Counts until the stream is gone and all that it handed in is counted.
    pub(super) fn begin(shared: &Arc<Shared>, session: SessionId, stream: StreamId) -> Self {
        let (reports, queue) = mpsc::channel(REPORTS_MAX);
        let foreign = Arc::new(Notify::new());
        shared.spawn(count(Arc::clone(shared), session, stream, queue, Arc::clone(&foreign)));
        Self { reports, foreign }
    }

    /// Hands a report in. One that finds no room is not confirmed, and comes again on the next stream.
    pub(super) fn report(&self, session: SessionId, report: Report) {
        if self.reports.try_send(report).is_err() {
            warn!(%session, "a report of use was not taken: too many wait");
        }
    }
}

async fn count(
    shared: Arc<Shared>,
    session: SessionId,
    stream: StreamId,
    mut queue: mpsc::Receiver<Report>,
    foreign: Arc<Notify>,
) {
    let parts = &shared.parts;
    while let Some(report) = queue.recv().await {
        let number = report.number;
        let outcome = loop {
            match parts.store.usage_report(UsageFrom::Session(session), report.clone()).await {
                Ok(outcome) => break outcome,
                Err(error) => warn!(%error, %session, "a report of use could not be counted"),
            }
            // A verifier that goes on was not told that it is counted, and tells the same again on its next stream.
            if queue.is_closed() {
                return;
            }
            sleep(AGAIN_AFTER).await;
        };
        parts.metrics.usage_report_count(outcome);
        if let UsageTaken::Foreign(token) = outcome {
            warn!(%session, %token, "a report of use speaks of a token of a namespace that its session does not serve");
            foreign.notify_one();
            return;
        }
        shared.floor().send(stream, ToVerifier::UsageTaken { number });
    }
}
