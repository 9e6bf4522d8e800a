//! The thief: presents a copied token everywhere, all the time, and writes down what it gets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use jeton_types::Secret;
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::probe::Probe;

/// How often the thief tries each place.
const EVERY: Duration = Duration::from_millis(5);
/// How long it waits for an answer. Long enough for a frozen process to wake.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the thief saw in one place.
#[derive(Debug, Default, Clone)]
pub struct Loot {
    /// When the last request was sent that was let in.
    pub last_accepted: Option<Instant>,
    /// The first refusal after the last acceptance.
    pub first_refused: Option<Instant>,
    /// Requests that were let in, by when they were sent.
    accepted: Vec<Instant>,
    /// How often each other status came.
    pub unavailable: u64,
}

/// One thief at one place.
pub struct Thief {
    loot: Arc<Mutex<Loot>>,
    task: JoinHandle<()>,
}

impl Thief {
    /// Goes to work.
    pub fn new(probe: Probe, place: SocketAddr, token: Secret<String>) -> Self {
        let loot = Arc::new(Mutex::new(Loot::default()));
        let seen = loot.clone();
        let task = tokio::spawn(async move {
            let mut beat = interval(EVERY);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                beat.tick().await;
                let sent = Instant::now();
                let status = probe.auth(place, &token, PATIENCE).await;
                let Ok(mut loot) = seen.lock() else { return };
                match status {
                    Some(200) => {
                        loot.accepted.push(sent);
                        loot.last_accepted = Some(sent);
                        loot.first_refused = None;
                    }
                    Some(401) => {
                        loot.first_refused.get_or_insert_with(Instant::now);
                    }
                    _ => loot.unavailable += 1,
                }
            }
        });
        Self { loot, task }
    }

    /// What it has so far.
    pub fn loot(&self) -> Loot {
        self.loot.lock().map(|loot| loot.clone()).unwrap_or_default()
    }

    /// How many requests were let in that were sent after `moment`.
    pub fn accepted_after(&self, moment: Instant) -> u64 {
        self.loot().accepted.iter().filter(|sent| **sent > moment).count() as u64
    }

    /// How many requests were let in.
    pub fn accepted(&self) -> u64 {
        self.loot().accepted.len() as u64
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        self.task.abort();
    }
}
