use std::{future::Future, pin::Pin, time::Duration};

use tokio::time::Instant;

/// Where the time of deadlines and pauses comes from. A test brings one of its own, whose pauses take no time.
pub trait Pace: Send + Sync + 'static {
    /// How long it is since some moment, always the same one.
    fn elapsed(&self) -> Duration;

    /// Comes back after so long.
    fn pause(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Tokio's time.
#[derive(Debug, Clone, Copy)]
pub struct TokioPace(Instant);

impl Default for TokioPace {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Pace for TokioPace {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn pause(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(pause))
    }
}
