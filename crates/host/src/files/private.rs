use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jeton_types::Secret;
use rustix::fs::OFlags;

/// The longest private file that is read.
pub const PRIVATE_FILE_BYTES_MAX: usize = 4 * 1024;

/// Why a private file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("there is no file {}; check the path", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The folder that the file belongs into is not there.
    #[error("cannot write {}: there is no such folder; make it first or check the path", path.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
    },
    /// The path leads to a folder, a pipe or a device.
    #[error("{} is not a regular file; give the path of a file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner may read or change the file.
    #[error("{} may be read or changed by others (mode {mode:04o}); run `chmod 600 {}` and replace its secret if it was exposed", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is longer than [`PRIVATE_FILE_BYTES_MAX`].
    #[error("{} is longer than {PRIVATE_FILE_BYTES_MAX} bytes; is it the right file?", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file has no content.
    #[error("{} is empty; write the secret into it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file's content is not UTF-8.
    #[error("{} is not text; is it the right file?", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The file exists, and this process may not open it.
    #[error("{} may not be opened by this user; change its owner or its mode", path.display())]
    Forbidden {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// Reads a secret from a file that nobody but its owner may read. One newline at the end is not part of it.
///
/// Symbolic links are followed (orchestrators mount secrets so); the rules hold for the file they lead to.
///
/// # Errors
/// [`FileError`] when the file is missing, is no regular file, is open to others, too long, empty, or no text.
pub fn read_private(path: &Path) -> Result<Secret<String>, FileError> {
    let owned = || path.to_path_buf();
    // Without NONBLOCK the opening of a pipe would wait for somebody who writes to it.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: owned() },
        io::ErrorKind::PermissionDenied => FileError::Forbidden { path: owned() },
        _ => FileError::Io { action: "open", path: owned(), source },
    })?;
    // The opened file is asked, not the path: it cannot be exchanged in between.
    let facts = file.metadata().map_err(|source| FileError::Io { action: "look at", path: owned(), source })?;
    if !facts.is_file() {
        return Err(FileError::NotAFile { path: owned() });
    }
    let mode = facts.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::TooOpen { path: owned(), mode });
    }

    // Capacity for all that is read: a growing buffer would leave copies of the secret behind.
    let mut bytes = Vec::with_capacity(PRIVATE_FILE_BYTES_MAX + 1);
    let read = file.take(PRIVATE_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    read.map_err(|source| FileError::Io { action: "read", path: owned(), source })?;
    if bytes.expose().len() > PRIVATE_FILE_BYTES_MAX {
        return Err(FileError::TooLong { path: owned() });
    }
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| FileError::NotText { path: owned() })?;
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() {
        return Err(FileError::Empty { path: owned() });
    }
    Ok(Secret::new(text.to_owned()))
}

/// Writes a file that only its owner may read, and replaces the one that is there in one step: after a crash there is
/// the old or the new content, on the disk too.
///
/// # Errors
/// [`FileError`] when the path is taken by something else than a file, or the operating system refuses.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    PrivateFile::prepare(path)?.finish(bytes)
}

/// A private file that is about to be written. For secrets that exist once: whether their place takes them is found out
/// before they are made. Dropped without [`PrivateFile::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct PrivateFile {
    path: PathBuf,
    folder: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl PrivateFile {
    /// Opens a temporary file beside `path`.
    ///
    /// # Errors
    /// [`FileError`] when the path is taken by something else than a file, or the operating system refuses.
    pub fn prepare(path: &Path) -> Result<Self, FileError> {
        let owned = || path.to_path_buf();
        let name = path.file_name().ok_or_else(|| FileError::NotAFile { path: owned() })?;
        // Only a missing or a regular file is replaced: a rename over a device would not do what was meant.
        if fs::metadata(path).is_ok_and(|facts| !facts.is_file()) {
            return Err(FileError::NotAFile { path: owned() });
        }
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));

        let mut temporary_name = std::ffi::OsString::from(".");
        temporary_name.push(name);
        temporary_name.push(format!(".{}", random_suffix()));
        let temporary = folder.join(temporary_name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => FileError::NoFolder { path: owned() },
            _ => refused("write", path, source),
        })?;
        let prepared = Self { path: owned(), folder: folder.to_path_buf(), temporary, file };
        // The umask can take bits away; the owner's own must stay.
        let permitted = prepared.file.set_permissions(fs::Permissions::from_mode(0o600));
        permitted.map_err(|source| refused("write", path, source))?;
        Ok(prepared)
    }

    /// Writes a part of the content, for what is too long to be held as a whole.
    ///
    /// # Errors
    /// [`FileError`] when the operating system refuses; what was there before is there still.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(|source| refused("write", &self.path, source))
    }

    /// Writes the content, or the rest of it, and puts the file in its place.
    ///
    /// # Errors
    /// [`FileError`] when the operating system refuses; what was there before is there still.
    pub fn finish(mut self, bytes: &[u8]) -> Result<(), FileError> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        written.map_err(|source| refused("write", &self.path, source))?;
        fs::rename(&self.temporary, &self.path).map_err(|source| refused("replace", &self.path, source))?;
        // Without this the rename itself may be lost in a power cut.
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| refused("sync", &self.folder, source))
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        // After `finish` it is not there any more; before, nothing can be done about a failure.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn refused(action: &'static str, path: &Path, source: io::Error) -> FileError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path },
        io::ErrorKind::PermissionDenied => FileError::Forbidden { path },
        _ => FileError::Io { action, path, source },
    }
}

fn random_suffix() -> String {
    use jeton_types::Entropy;

    let mut bytes = [0; 8];
    crate::clock::OsEntropy.fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}
