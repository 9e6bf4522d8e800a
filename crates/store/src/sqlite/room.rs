//! Whether there is room on the disk, and who may have what is left.
//!
//! The writer learns of a full disk by SQLite's word for it. From then on only what ends authority, and what keeps the
//! proof of it, is written, out of the [`Ballast`]; everything else is refused before it begins. There is room again once
//! the ballast is whole; that is tried whenever something was refused, so no restart is needed.
//!
//! Without a ballast nothing is held back: each mutation finds out for itself.

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::ballast::Ballast;

/// What the store knows of the room on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// The disk is full: only what ends authority is written.
    pub full: bool,
    /// What is held back for that.
    pub ballast_bytes: u64,
}

/// What a mutation needs of a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing; it waits until there is room.
    Room,
    /// The first half of the ballast: what verifiers need to go on.
    Half,
    /// The ballast, if it ends authority, which shows only when it has run.
    Ballast,
    /// The ballast.
    Always,
}

pub(super) struct Room {
    ballast: Option<Ballast>,
    told: watch::Sender<Space>,
}

impl Room {
    pub(super) fn new(ballast: Option<Ballast>) -> Self {
        let ballast_bytes = ballast.as_ref().map_or(0, Ballast::held);
        Self { ballast, told: watch::Sender::new(Space { full: false, ballast_bytes }) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Space> {
        self.told.subscribe()
    }

    pub(super) fn is_full(&self) -> bool {
        self.told.borrow().full
    }

    /// The first look, at a start: makes the ballast whole, or says that the disk is full.
    pub(super) fn begin(&mut self) {
        if self.ballast.is_some() && !self.whole() {
            self.filled();
        }
    }

    /// SQLite found no room.
    pub(super) fn filled(&mut self) {
        let Some(ballast) = &self.ballast else { return };
        let ballast_bytes = ballast.held();
        if !self.is_full() {
            error!(
                ballast_bytes,
                "the disk of the data folder is full: only what ends authority is written, out of the ballast; make room, it goes on by itself"
            );
        }
        self.tell(true);
    }

    /// Whether this may be tried now.
    pub(super) fn admits(&self, need: Need) -> bool {
        !self.is_full()
            || match need {
                Need::Room => false,
                Need::Half => self.ballast.as_ref().is_some_and(Ballast::more_than_half),
                Need::Ballast | Need::Always => true,
            }
    }

    /// Gives up a part of the ballast; says whether there was any to give.
    pub(super) fn release(&mut self) -> bool {
        let Some(ballast) = &mut self.ballast else { return false };
        let released = ballast.release().unwrap_or_else(|error| {
            warn!(%error, "the ballast cannot be given up");
            false
        });
        if !released && ballast.held() == 0 {
            error!("the disk is full and the ballast is used up: nothing can be revoked before there is room");
        }
        self.tell(self.is_full());
        released
    }

    /// Looks whether there is room again.
    pub(super) fn regain(&mut self) {
        if self.is_full() && self.whole() {
            info!("there is room on the disk of the data folder again, and everything is written");
            self.tell(false);
        }
    }

    fn whole(&mut self) -> bool {
        let Some(ballast) = &mut self.ballast else { return true };
        let whole = ballast.regain().unwrap_or_else(|error| {
            warn!(%error, "the ballast cannot be reserved");
            false
        });
        self.tell(self.is_full());
        whole
    }

    fn tell(&self, full: bool) {
        let ballast_bytes = self.ballast.as_ref().map_or(0, Ballast::held);
        let now = Space { full, ballast_bytes };
        self.told.send_if_modified(|told| std::mem::replace(told, now) != now);
    }
}
