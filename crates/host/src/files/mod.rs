//! Files that must be private, whole and alone: token files, keys, the data folder.
//!
//! Guarantee: a private file is replaced atomically and is never, not for a moment, readable by others; a folder is
//! used by one process at a time.
//! [`StateLock`] is the folder of a verifier: what it holds there says whose place it took. Not guaranteed: anything against another process of the same user.
//! Everything blocks; call it at start or from a blocking thread.

mod folder;
mod private;
mod replica;
mod state;
mod watch;

pub use folder::{FolderError, FolderLock, LockError, data_folder, lock_folder};
pub use private::{FileError, PRIVATE_FILE_BYTES_MAX, PrivateFile, read_private, write_private};
pub use replica::{ReplicaFile, replica_discard, replica_open, replica_settle};
pub use state::{LockFile, STATE_REPLICA, StateError, StateLock, boot_id};
pub use watch::{FileWatch, Look};

#[cfg(test)]
mod tests;
