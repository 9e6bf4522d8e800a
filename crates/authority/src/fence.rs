//! The fence of an authority whose data were put back to an older state (`feed-protocol.md` 26).
//!
//! Purpose: what is found once stops everything that could be believed: leases, writes, and the authority's own answers.
//! Guarantee: found means found for the life of the process, and for the next ones too, as long as they start from data that
//! do not know the head that was shown: it is kept in the keys folder, which is not put back with the data. Not guaranteed:
//! that it is found at all. What no living verifier has seen cannot be noticed.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use jeton_feed::{
    record::Head,
    rollback::{Judgement, Lost, judge},
};
use jeton_host::files;
use jeton_store::{AnyStore, Store, StoreError};
use jeton_types::{Hash32, Revision, StartId};
use serde::{Deserialize, Serialize};

use crate::keys::Keyring;

/// In the keys folder.
const FILE: &str = "rollback.json";

/// See the module. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Fence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    found: OnceLock<RolledBack>,
    file: PathBuf,
}

/// A rollback, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RolledBack {
    /// The head that proves it.
    pub(crate) head: Head,
    /// How.
    pub(crate) lost: Lost,
}

impl fmt::Display for RolledBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rollback: a verifier has seen revision {} of {}, and {}; the data folder is an older copy, so what was revoked since \
             would be good again. Stop this authority and start it from a folder that knows revision {}",
            self.head.revision, self.head.start, self.lost, self.head.revision
        )
    }
}

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    revision: Revision,
    start: StartId,
    chain_hash: Hash32,
    mac: Hash32,
}

impl Fence {
    pub(crate) fn new(keys_dir: &Path) -> Self {
        Self(Arc::new(Inner { found: OnceLock::new(), file: keys_dir.join(FILE) }))
    }

    /// What was found, if anything was. One atomic read.
    pub(crate) fn found(&self) -> Option<&RolledBack> {
        self.0.found.get()
    }

    /// Remembers what was found; says whether it is the first. Blocks.
    pub(crate) fn shut(&self, found: RolledBack) -> bool {
        let first = self.0.found.set(found.clone()).is_ok();
        if first && let Err(error) = self.keep(&found.head) {
            // The process is fenced all the same; the next one learns it from the first verifier that it hears.
            tracing::warn!(%error, file = %self.0.file.display(), "rollback: the finding could not be kept for the next start");
        }
        first
    }

    /// What an earlier process found, if it still holds for these data; forgotten if they know the head by now.
    pub(crate) async fn recall(&self, store: &AnyStore, keys: &Keyring) -> Result<Option<RolledBack>, StoreError> {
        let Some(head) = self.kept() else { return Ok(None) };
        match head_judge(store, keys, &head).await? {
            Judgement::Rollback(lost) => Ok(Some(RolledBack { head, lost })),
            Judgement::Ours | Judgement::TooOld | Judgement::Foreign => {
                tracing::info!(revision = %head.revision, "the data know the revision that a rollback had lost");
                if let Err(error) = std::fs::remove_file(&self.0.file) {
                    tracing::warn!(%error, file = %self.0.file.display(), "an old finding could not be removed");
                }
                Ok(None)
            }
        }
    }

    fn keep(&self, head: &Head) -> io::Result<()> {
        let kept = Kept {
            revision: head.revision,
            start: head.start,
            chain_hash: head.chain_hash,
            mac: head.mac.unwrap_or_default(),
        };
        let mut json = serde_json::to_vec_pretty(&kept)?;
        json.push(b'\n');
        files::write_private(&self.0.file, &json).map_err(io::Error::other)
    }

    fn kept(&self) -> Option<Head> {
        let read = std::fs::read(&self.0.file).ok()?;
        match serde_json::from_slice::<Kept>(&read) {
            Ok(Kept { revision, start, chain_hash, mac }) => Some(Head { revision, start, chain_hash, mac: Some(mac) }),
            Err(error) => {
                tracing::warn!(%error, file = %self.0.file.display(), "an old finding cannot be read and is passed over");
                None
            }
        }
    }
}

/// Judges a head that somebody shows, in one view of the store.
pub(crate) async fn head_judge(store: &AnyStore, keys: &Keyring, head: &Head) -> Result<Judgement, StoreError> {
    if !keys.head_is_authentic(head) {
        // Not worth a look into the store: only a head of this authority says anything.
        return Ok(Judgement::Foreign);
    }
    Ok(judge(head, true, &store.head_known(head.start, head.revision).await?))
}
