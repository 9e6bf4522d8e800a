//! The state folder of a verifier (`feed-protocol.md` 27): which sessions a process claims, and where its own are listed.
//!
//! Purpose: to hold the folder's lock for as long as anybody could be answered, and to list each session before its hello.
//! Guarantee: what is claimed was opened by a process that held this very lock before. Not guaranteed: that a session is
//! listed; if the file cannot be written it is not, and silence decides in its case.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jeton_feed::succession::Lock;
use jeton_host::files::{StateError, StateLock, boot_id};
use jeton_types::{Place, SessionId};

/// A folder that this process holds.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    lock: Arc<StateLock>,
    /// What the file listed before this process added anything.
    claims: Vec<SessionId>,
}

impl State {
    /// Takes the folder and reads it. Blocks, briefly.
    pub(super) fn open(folder: &Path) -> Result<Self, StateError> {
        let boot = boot_id().map_err(|source| StateError::Io {
            action: "read this machine's boot id for",
            path: folder.to_path_buf(),
            source,
        })?;
        let (lock, found) = StateLock::take(folder, boot)?;
        let here = lock.place();
        let claims = match found {
            Some(found) => {
                let file = Lock { place: found.place, sessions: found.sessions };
                if file.place != here {
                    tracing::info!("the state folder comes from another place or another boot: nothing is claimed");
                }
                file.claims(here).to_vec()
            }
            None => Vec::new(),
        };
        lock.begin(&claims).map_err(|source| StateError::Io {
            action: "write the lock file in",
            path: folder.to_path_buf(),
            source,
        })?;
        Ok(Self { folder: folder.to_path_buf(), lock: Arc::new(lock), claims })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn place(&self) -> Place {
        self.lock.place()
    }

    pub(super) fn claims(&self) -> &[SessionId] {
        &self.claims
    }

    /// What a stream has to do before its hello.
    pub(super) fn listing(&self, session: SessionId) -> Listing {
        Listing { lock: Arc::clone(&self.lock), session }
    }

    /// Drops sessions whose end the authority has confirmed; not awaited, since nothing depends on it.
    pub(super) fn succeeded(&self, sessions: Vec<SessionId>) {
        tracing::info!(sessions = sessions.len(), "the authority ended the sessions of the processes before this one");
        let lock = Arc::clone(&self.lock);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = lock.remove(&sessions) {
                tracing::warn!(%error, "the list of sessions in the state folder cannot be written");
            }
        });
    }
}

/// A session that is to be listed.
#[derive(Debug)]
pub(super) struct Listing {
    lock: Arc<StateLock>,
    session: SessionId,
}

impl Listing {
    /// Lists the session; once, however often it is asked for.
    pub(super) async fn write(self) {
        let written = tokio::task::spawn_blocking(move || self.lock.add(self.session)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "this session is not listed in the state folder: its successor cannot end it");
        }
    }
}
