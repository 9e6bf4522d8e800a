use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{Web, now_us};

/// How often a lane asks, if it is answered.
const EVERY: Duration = Duration::from_millis(5);
/// How long [`Prober::until`] looks.
const PATIENCE: Duration = Duration::from_secs(60);

/// One question and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// When it was sent, by [`now_us`].
    pub sent: u64,
    /// When the answer was there.
    pub done: u64,
    /// The status; 0 if there was no answer.
    pub status: u16,
}

/// Presents one token at one sidecar's `/auth`, again and again, in several lanes, and keeps what came back.
pub struct Prober {
    seen: Arc<Mutex<Vec<Probe>>>,
    stop: Arc<AtomicBool>,
    lanes: Vec<JoinHandle<()>>,
}

impl Prober {
    /// Begins. Each lane has a connection of its own and one question at a time on it.
    #[must_use]
    pub fn start(sidecar: SocketAddr, token: &str, lanes: usize) -> Self {
        let (seen, stop) = (Arc::<Mutex<Vec<Probe>>>::default(), Arc::<AtomicBool>::default());
        let lanes = (0..lanes).map(|_| {
            let (seen, stop, token) = (Arc::clone(&seen), Arc::clone(&stop), token.to_owned());
            tokio::spawn(async move {
                let web = Web::default();
                let mut beat = interval(EVERY);
                beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    beat.tick().await;
                    let sent = now_us();
                    let status = web.auth(sidecar, &token).await;
                    seen.lock().unwrap().push(Probe { sent, done: now_us(), status });
                }
            })
        });
        let lanes = lanes.collect();
        Self { seen, stop, lanes }
    }

    /// What was seen so far, in the order of the answers.
    #[must_use]
    pub fn seen(&self) -> Vec<Probe> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until what was seen is as wished.
    pub async fn until(&self, what: &str, wished: impl Fn(&[Probe]) -> bool) {
        let started = Instant::now();
        while !wished(&self.seen.lock().unwrap()) {
            assert!(started.elapsed() < PATIENCE, "not in time: {what}; last seen: {:?}", self.seen().last());
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Waits until a question that was sent from now on is answered with `status`.
    pub async fn until_status(&self, status: u16) {
        let now = now_us();
        let what = format!("an answer {status}");
        self.until(&what, |seen| seen.iter().any(|probe| probe.sent >= now && probe.status == status)).await;
    }

    /// Stops asking, waits for the answers that are due, and says what was seen.
    pub async fn stop(self) -> Vec<Probe> {
        self.stop.store(true, Ordering::Relaxed);
        for lane in self.lanes {
            lane.await.unwrap();
        }
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}
