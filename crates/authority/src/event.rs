//! What happens beside the log: told at once to whoever reads the events, kept for nobody.

use std::sync::Arc;

use jeton_api::event::{AlarmEvent, ReceiptEvent, SessionEvent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

/// Clients that may read the events at once.
pub const CLIENTS_MAX: usize = 256;
/// Events that a client may lag behind before it is cut.
const LAG_MAX: usize = 1_024;

/// One event that is not a change.
#[derive(Debug, Clone)]
pub enum Event {
    /// A receipt is complete.
    Receipt(ReceiptEvent),
    /// A session was opened, or ended.
    Session(SessionEvent),
    /// A person should look.
    Alarm(AlarmEvent),
}

/// Where events are told, and heard. Clones are one.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<Arc<Event>>,
    places: Arc<Semaphore>,
}

impl Events {
    /// Nobody listens yet.
    #[must_use]
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(LAG_MAX), places: Arc::new(Semaphore::new(CLIENTS_MAX)) }
    }

    /// Tells whoever listens.
    pub fn tell(&self, event: Event) {
        // Fails only when nobody does.
        let _ = self.sender.send(Arc::new(event));
    }

    /// Everything told from here on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.sender.subscribe()
    }

    /// A place for one more client, if there is one.
    #[must_use]
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}
