//! The token with which a verifier presents itself, and the watch on its file.
//!
//! Purpose of the watch: a new token is used without a restart. Guarantee: a file that cannot be read, or that others can
//! read, changes nothing. Not guaranteed: that each of several quick changes is seen; the last one is.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jeton_host::files::{FileError, FileWatch, Look, read_private};
use jeton_types::Secret;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often a token file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the verifier's token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// A file that only its owner can read; read again when it changes.
    File(PathBuf),
    /// The token itself, for as long as the verifier lives.
    Held(Secret<String>),
}

/// A token file and the watch on it. Blocks, briefly: not for the driver's own task.
#[derive(Debug)]
pub(super) struct TokenFile {
    watch: FileWatch,
    /// The last reading failed: it is tried again though the file has not changed.
    unread: bool,
    complaint: Option<String>,
}

impl TokenFile {
    pub(super) fn open(path: &Path) -> Result<(Self, Secret<String>), FileError> {
        let mut watch = FileWatch::new(path);
        // Looked at before it is read: what is written meanwhile shows as a change afterwards.
        watch.look();
        let token = read_private(path)?;
        Ok((Self { watch, unread: false, complaint: None }, token))
    }

    /// The new content, if it has changed and can be read.
    fn changed(&mut self) -> Option<Secret<String>> {
        if matches!(self.watch.look(), Look::Same) && !self.unread {
            return None;
        }
        match read_private(self.watch.path()) {
            Ok(token) => {
                self.unread = false;
                self.complaint = None;
                Some(token)
            }
            Err(error) => {
                self.unread = true;
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::warn!(error = %complaint, "the token file cannot be read; the token read before stays in use");
                    self.complaint = Some(complaint);
                }
                None
            }
        }
    }
}

/// Looks at the file for ever and tells each new token. Ends when `tell` says that nobody listens.
pub(super) async fn watch(mut file: TokenFile, tell: impl Fn(Secret<String>) -> bool) {
    let mut ticks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A file system that hangs must not hang the runtime.
        let looked = tokio::task::spawn_blocking(move || {
            let changed = file.changed();
            (file, changed)
        });
        let Ok((back, changed)) = looked.await else { return };
        file = back;
        if changed.is_some_and(|token| !tell(token)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn put(path: &Path, text: &str, mode: u32) {
        let fresh = path.with_extension("new");
        fs::write(&fresh, text).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(&fresh, path).unwrap();
    }

    #[test]
    fn a_change_is_told_once_and_a_bad_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(TokenFile::open(&path).is_err());
        put(&path, "one\n", 0o600);
        let (mut file, token) = TokenFile::open(&path).unwrap();
        assert_eq!(token.expose(), "one");
        let mut look = || file.changed().map(|token| token.expose().clone());
        assert_eq!(look(), None);
        put(&path, "two\n", 0o644);
        assert_eq!(look(), None, "open to others");
        put(&path, "two\n", 0o600);
        assert_eq!(look().as_deref(), Some("two"));
        assert_eq!(look(), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(look(), None);
        put(&path, "three\n", 0o600);
        assert_eq!(look().as_deref(), Some("three"));
    }
}
