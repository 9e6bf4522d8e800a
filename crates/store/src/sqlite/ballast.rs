//! Space that is held back so that authority can be ended on a full disk: a file that nobody reads.
//!
//! Its blocks belong to it on file systems that allocate in place; on one that copies on write, a full disk may refuse
//! even what they were given back for.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::{fs::FallocateFlags, io::Errno};

/// The file in the data folder.
const FILE: &str = "ballast";
/// What one release gives back.
const STEP_BYTES: u64 = 4 << 20;
/// What must be free beside the ballast before the disk counts as having room again.
const HEADROOM_BYTES: u64 = 4 << 20;
/// As `stat` counts them, whatever the file system does.
const BLOCK_BYTES: u64 = 512;

/// The file, and how much of it is there.
#[derive(Debug)]
pub(super) struct Ballast {
    file: File,
    /// How much there should be.
    size: u64,
    /// How much there is.
    held: u64,
}

impl Ballast {
    /// What is there, if anything. Reserves nothing yet.
    pub(super) fn open(dir: &Path, size: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join(FILE))?;
        let found = file.metadata()?;
        // A copy of a data folder may have a hole where its space should be.
        let held = found.len().min(found.blocks().saturating_mul(BLOCK_BYTES));
        Ok(Self { file, size, held })
    }

    pub(super) const fn held(&self) -> u64 {
        self.held
    }

    pub(super) const fn more_than_half(&self) -> bool {
        self.held > self.size / 2
    }

    /// Gives a part back; says whether there was any.
    pub(super) fn release(&mut self) -> io::Result<bool> {
        if self.held == 0 {
            return Ok(false);
        }
        let less = self.held.saturating_sub(STEP_BYTES);
        self.file.set_len(less)?;
        self.held = less;
        Ok(true)
    }

    /// Makes it whole, if the disk has that much and some more; says whether it is.
    pub(super) fn regain(&mut self) -> io::Result<bool> {
        let disk = rustix::fs::fstatvfs(&self.file)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        // Asked first: to try would take, for a moment, what others still write into.
        if free < (self.size + HEADROOM_BYTES).saturating_sub(self.held) {
            return Ok(false);
        }
        match self.reserve(self.size + HEADROOM_BYTES) {
            Ok(()) => {
                self.file.set_len(self.size)?;
                self.held = self.size;
                Ok(true)
            }
            Err(error) => {
                self.file.set_len(self.held)?;
                let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
                if full { Ok(false) } else { Err(error) }
            }
        }
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.fill(bytes),
            Err(error) => Err(error.into()),
        }
    }

    /// For a file system that reserves nothing: bytes that do not compress.
    fn fill(&self, bytes: u64) -> io::Result<()> {
        use std::io::{Seek as _, SeekFrom};
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        let mut left = bytes;
        while left > 0 {
            let mut block = [0_u8; 4_096];
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            let part = block.len().min(usize::try_from(left).unwrap_or(block.len()));
            file.write_all(block.get(..part).unwrap_or(&block))?;
            left -= part as u64;
        }
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_back_in_parts_and_made_whole_again() {
        let dir = tempfile::tempdir().unwrap();
        let on_disk = || std::fs::metadata(dir.path().join(FILE)).unwrap();
        let mut ballast = Ballast::open(dir.path(), 9 << 20).unwrap();
        assert_eq!(ballast.held(), 0);
        assert!(ballast.regain().unwrap());
        assert_eq!((ballast.held(), on_disk().len(), on_disk().mode() & 0o777), (9 << 20, 9 << 20, 0o600));
        assert!(on_disk().blocks() * BLOCK_BYTES >= 9 << 20, "its space is taken");
        for left in [5 << 20, 1 << 20, 0] {
            assert!(ballast.release().unwrap());
            assert_eq!((ballast.held(), on_disk().len()), (left, left));
        }
        assert!(!ballast.release().unwrap(), "there is no more");
        assert!(ballast.regain().unwrap());
        drop(ballast);
        assert_eq!(Ballast::open(dir.path(), 9 << 20).unwrap().held(), 9 << 20, "the next start finds it");
    }

    #[test]
    fn a_hole_is_no_ballast() {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join(FILE)).unwrap().set_len(9 << 20).unwrap();
        let mut ballast = Ballast::open(dir.path(), 9 << 20).unwrap();
        assert_eq!(ballast.held(), 0);
        assert!(ballast.regain().unwrap());
        assert_eq!(ballast.held(), 9 << 20);
    }

    #[test]
    fn without_fallocate_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::open(dir.path(), 1 << 20).unwrap();
        ballast.fill((1 << 20) + 100).unwrap();
        let bytes = std::fs::read(dir.path().join(FILE)).unwrap();
        assert_eq!(bytes.len(), (1 << 20) + 100);
        let blocks: std::collections::HashSet<&[u8]> = bytes.chunks(4_096).collect();
        assert_eq!(blocks.len(), 257, "no block is like another");
    }
}
