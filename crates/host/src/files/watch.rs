use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a look at a watched file showed.
#[derive(Debug)]
pub enum Look {
    /// As at the last look.
    Same,
    /// Other than at the last look, or the first look at a file that is there: read it.
    Changed,
    /// There is no file, or it may not be looked at. The next one that appears counts as changed.
    Missing(io::Error),
}

/// Tells whether a file has changed since the last look, by its modification time, inode and length.
///
/// Look first, then read: a change during the reading is then seen at the next look. Two changes of equal length in
/// place, within one tick of the file system's clock, look like one; a replacement by rename never does.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    seen: Option<Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: (i64, i64),
    device: u64,
    inode: u64,
    length: u64,
}

impl FileWatch {
    /// A watch that has not looked yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: None }
    }

    /// The watched path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file (and through symbolic links, which orchestrators exchange).
    pub fn look(&mut self) -> Look {
        let mark = match std::fs::metadata(&self.path) {
            Ok(facts) => Mark {
                modified: (facts.mtime(), facts.mtime_nsec()),
                device: facts.dev(),
                inode: facts.ino(),
                length: facts.len(),
            },
            Err(error) => {
                self.seen = None;
                return Look::Missing(error);
            }
        };
        if self.seen.replace(mark) == Some(mark) { Look::Same } else { Look::Changed }
    }
}
