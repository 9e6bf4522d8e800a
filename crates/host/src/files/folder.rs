use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation};

/// Why a folder cannot be the data folder, or a state folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The path leads to something else.
    #[error("{} is not a folder; choose another path", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// This user may not write there, or the file system is read-only.
    #[error("{} is not writable by this user; change its owner or choose another folder", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else's files are in it.
    #[error("{} holds other files (such as {example}) and no Jeton data; choose an empty or a new folder", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        example: String,
    },
    /// The operating system refused.
    #[error("cannot {action} the folder {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// Makes sure that `path` is a folder in which Jeton may keep its data: creates it (0700, parents too) when it is
/// absent, and refuses one that is not writable or holds somebody else's files.
///
/// # Errors
/// [`FolderError`]; its text says what to do.
pub fn data_folder(path: &Path) -> Result<(), FolderError> {
    folder_of(path, &OURS)
}

/// As [`data_folder`]; one of `ours` in a folder makes it ours.
pub(super) fn folder_of(path: &Path, ours: &[&str]) -> Result<(), FolderError> {
    let owned = || path.to_path_buf();
    match fs::metadata(path) {
        Ok(facts) if !facts.is_dir() => return Err(FolderError::NotAFolder { path: owned() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    FolderError::NotWritable { path: owned() }
                }
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    FolderError::NotAFolder { path: owned() }
                }
                _ => FolderError::Io { action: "create", path: owned(), source },
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(FolderError::NotAFolder { path: owned() });
        }
        Err(source) => return Err(FolderError::Io { action: "look at", path: owned(), source }),
    }
    rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|_| FolderError::NotWritable { path: owned() })?;

    let mut stranger = None;
    let entries = fs::read_dir(path).map_err(|source| FolderError::Io { action: "read", path: owned(), source })?;
    for entry in entries {
        let entry = entry.map_err(|source| FolderError::Io { action: "read", path: owned(), source })?;
        let name = entry.file_name();
        if ours.iter().any(|ours| name == *ours) {
            return Ok(());
        }
        // A fresh file system brings this one along.
        if name != "lost+found" {
            stranger = Some(name.to_string_lossy().into_owned());
        }
    }
    match stranger {
        None => Ok(()),
        Some(example) => Err(FolderError::Foreign { path: owned(), example }),
    }
}

/// Why a folder could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is in use by another jeton{}; stop that one or choose another folder", path.display(), holder.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Held {
        /// The folder.
        path: PathBuf,
        /// The process that wrote its number into the lock file.
        holder: Option<u32>,
    },
    /// The operating system refused.
    #[error("cannot lock the folder {}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// The right to use a folder alone, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl FolderLock {
    /// The locked file itself, for whoever needs its device and inode.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }
}

/// Takes the folder for this process alone (`flock` on `jeton.lock` in it).
///
/// # Errors
/// [`LockError::Held`] when another process, or another lock of this one, has it.
pub fn lock_folder(path: &Path) -> Result<FolderLock, LockError> {
    let failed = |source: io::Error| LockError::Io { path: path.to_path_buf(), source };
    // The file is never removed: a lock on a removed file would exclude nobody.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join(LOCK_FILE))
        .map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let _ = file.take(16).read_to_string(&mut text);
            return Err(LockError::Held { path: path.to_path_buf(), holder: text.trim().parse().ok() });
        }
        Err(error) => return Err(failed(error.into())),
    }
    // Only a help for whoever finds the folder in use; the lock is the flock, and a full disk is no reason not to have it.
    let _ = file.set_len(0).and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    Ok(FolderLock { file })
}

const LOCK_FILE: &str = "jeton.lock";

/// One of these makes a folder ours.
const OURS: [&str; 2] = [LOCK_FILE, "jeton.db"];
