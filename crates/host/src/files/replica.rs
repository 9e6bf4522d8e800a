use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::state::STATE_REPLICA;

/// What is being written. One name for all, so that a process that is killed leaves one file at most, which the next replaces;
/// the folder's lock keeps two from writing at once.
const STATE_REPLICA_NEW: &str = "replica.new";

/// Opens the copy of a replica in a state folder for reading; nothing if there is none.
///
/// # Errors
/// What the operating system says, or [`io::ErrorKind::PermissionDenied`] for what is no file of this user alone: whoever may
/// write to it could bring a revoked token back until the first record.
pub fn replica_open(folder: &Path) -> io::Result<Option<File>> {
    let file = match options().read(true).open(folder.join(STATE_REPLICA)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let facts = file.metadata()?;
    let ours = rustix::process::geteuid().as_raw() == facts.uid();
    if !facts.is_file() || !ours || facts.mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is no file that belongs to this user alone"));
    }
    Ok(Some(file))
}

/// Removes the copy of a replica, for good: also a power cut does not bring it back after this returned.
///
/// # Errors
/// What the operating system says. That there is none is no error.
pub fn replica_discard(folder: &Path) -> io::Result<()> {
    remove(&folder.join(STATE_REPLICA))?;
    sync(folder)
}

/// Brings to the disk which copy is in the folder.
///
/// # Errors
/// What the operating system says.
pub fn replica_settle(folder: &Path) -> io::Result<()> {
    sync(folder)
}

/// The copy of a replica that is about to be written (0600), beside the one that is there. Dropped before
/// [`ReplicaFile::put_in_place`], it leaves nothing behind.
#[derive(Debug)]
pub struct ReplicaFile {
    folder: PathBuf,
    file: File,
    placed: bool,
}

impl ReplicaFile {
    /// Begins a file. To be called by the process that holds the folder's lock, once at a time.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(STATE_REPLICA_NEW);
        remove(&path)?;
        let file = options().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { folder: folder.to_path_buf(), file, placed: false })
    }

    /// Brings what was written to the disk.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Puts the file in the place of the one before, in one step. After [`ReplicaFile::sync`]; over a power cut too once
    /// [`replica_settle`] returned.
    ///
    /// # Errors
    /// What the operating system says; the one before is there still.
    pub fn put_in_place(mut self) -> io::Result<()> {
        fs::rename(self.folder.join(STATE_REPLICA_NEW), self.folder.join(STATE_REPLICA))?;
        self.placed = true;
        Ok(())
    }
}

impl Write for ReplicaFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for ReplicaFile {
    fn drop(&mut self) {
        if !self.placed {
            // The next one removes it if this cannot.
            let _ = remove(&self.folder.join(STATE_REPLICA_NEW));
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A link could lead out of the folder; the opening of a pipe would wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    options
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use tempfile::TempDir;

    use super::*;

    fn read(folder: &Path) -> Option<String> {
        let mut text = String::new();
        replica_open(folder).unwrap()?.read_to_string(&mut text).unwrap();
        Some(text)
    }

    fn write(folder: &Path, text: &str) {
        let mut file = ReplicaFile::create(folder).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.sync().unwrap();
        file.put_in_place().unwrap();
        replica_settle(folder).unwrap();
    }

    #[test]
    fn there_is_the_one_before_until_there_is_the_next() {
        let folder = TempDir::new().unwrap();
        let folder = folder.path();
        assert_eq!(read(folder), None);
        replica_discard(folder).unwrap();
        write(folder, "one");
        let mut two = ReplicaFile::create(folder).unwrap();
        two.write_all(b"tw").unwrap();
        assert_eq!(read(folder).as_deref(), Some("one"));
        drop(two);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "what was not finished is gone");
        // As a kill leaves it.
        fs::write(folder.join(STATE_REPLICA_NEW), "half").unwrap();
        write(folder, "three");
        assert_eq!(read(folder).as_deref(), Some("three"));
        assert_eq!(fs::metadata(folder.join(STATE_REPLICA)).unwrap().mode() & 0o777, 0o600);
        replica_discard(folder).unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }

    #[test]
    fn what_others_may_write_and_what_is_no_file_is_not_read() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(STATE_REPLICA);
        write(folder.path(), "one");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(replica_open(folder.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        replica_open(folder.path()).unwrap_err();
        // It is replaced, not written through.
        write(folder.path(), "two");
        assert_eq!(read(folder.path()).as_deref(), Some("two"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        replica_open(folder.path()).unwrap_err();
        let file = ReplicaFile::create(folder.path()).unwrap();
        file.put_in_place().unwrap_err();
    }
}
