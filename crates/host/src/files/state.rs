use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jeton_types::{Place, SessionId};
use rustix::fs::{FlockOperation, OFlags};

use super::folder::{FolderError, folder_of};

/// The file that is locked. Never renamed and never removed: a lock on another file would exclude nobody.
const LOCK: &str = "state.lock";
/// The file of the replica in a state folder.
pub const STATE_REPLICA: &str = "replica";
/// More than any list that is kept.
const BYTES_MAX: u64 = 64 * 1024;
/// Lines after which the list is written anew.
const LINES_MAX: usize = 512;
/// Times that the lock file may be exchanged while it is being locked.
const EXCHANGES_MAX: usize = 8;

/// Why a folder cannot be a state folder.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder is not fit.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Another process has it.
    #[error("the state folder {} is in use by another process; stop that one, or give this one a folder of its own", path.display())]
    Held {
        /// The folder.
        path: PathBuf,
    },
    /// A lock there is not kept by this kernel alone.
    #[error("the state folder {} is on a network or user-space file system (type {kind:#x}), whose locks this machine does not keep by itself; choose a folder on a local disk", path.display())]
    Remote {
        /// The folder.
        path: PathBuf,
        /// What `statfs` says.
        kind: u32,
    },
    /// The file is another's, or open to others.
    #[error("{} does not belong to this user alone; remove it, or choose another folder", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {}; make room there and make it this user's own, or choose another folder", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// The right to be the one process in a state folder, and the list of sessions that were opened under it
/// (`feed-protocol.md` 27). The lock goes when this is dropped or the process ends, however it ends.
///
/// The list is written in place. A process that is killed at any moment leaves a file that names sessions of processes
/// which held this lock, or fewer of them; it never names others.
#[derive(Debug)]
pub struct StateLock {
    path: PathBuf,
    place: Place,
    list: Mutex<List>,
}

#[derive(Debug)]
struct List {
    file: File,
    listed: Vec<SessionId>,
    lines: usize,
    /// A write failed, perhaps in the middle of a line.
    torn: bool,
}

/// What the lock file said when it was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    /// Where it says that it is.
    pub place: Place,
    /// The sessions of which nobody has confirmed the end, oldest first.
    pub sessions: Vec<SessionId>,
}

impl StateLock {
    /// Takes the folder for this process, making it (0700) if it is not there, and reads its list; nothing if there is
    /// none that can be read. `boot` is this kernel's [`boot_id`]. [`StateLock::begin`] is to follow.
    ///
    /// # Errors
    /// [`StateError`]; its text says what to do.
    pub fn take(folder: &Path, boot: [u8; 16]) -> Result<(Self, Option<LockFile>), StateError> {
        folder_of(folder, &[LOCK, STATE_REPLICA])?;
        let path = folder.join(LOCK);
        let failed = |action| {
            let path = path.clone();
            move |source| StateError::Io { action, path, source }
        };
        for _ in 0..EXCHANGES_MAX {
            let file = open(&path).map_err(failed("open"))?;
            let facts = file.metadata().map_err(failed("look at"))?;
            let ours = rustix::process::geteuid().as_raw() == facts.uid();
            if !facts.is_file() || !ours || facts.mode() & 0o077 != 0 {
                return Err(StateError::NotOurs { path });
            }
            let kind = rustix::fs::fstatfs(&file).map_err(|errno| failed("look at")(errno.into()))?.f_type as u32;
            if REMOTE.contains(&kind) {
                return Err(StateError::Remote { path: folder.to_path_buf(), kind });
            }
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(StateError::Held { path: folder.to_path_buf() }),
                Err(errno) => return Err(failed("lock")(errno.into())),
            }
            // Asked of the locked descriptor. The path must still lead to it, or the lock would exclude nobody.
            let place = Place { boot, device: facts.dev(), inode: facts.ino() };
            if fs::symlink_metadata(&path).is_ok_and(|now| (now.dev(), now.ino()) == (facts.dev(), facts.ino())) {
                let mut text = String::new();
                // What is no text, or too long, is no list.
                let read = (&file).take(BYTES_MAX + 1).read_to_string(&mut text);
                let found = read.ok().filter(|read| *read as u64 <= BYTES_MAX).and_then(|_| parse(&text));
                let list = Mutex::new(List { file, listed: Vec::new(), lines: 0, torn: false });
                return Ok((Self { path, place, list }, found));
            }
        }
        Err(failed("lock")(io::Error::other("it is exchanged all the time")))
    }

    /// Where this process is: the boot id, and device and inode of the file that it holds locked.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// Begins the list anew, at this place, with the sessions that this process claims.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn begin(&self, claimed: &[SessionId]) -> io::Result<()> {
        let mut list = self.list();
        list.listed = claimed.to_vec();
        list.rewrite(self.place)?;
        // The file may be new.
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    /// Adds a session, before its hello is sent. It is in the file when this returns.
    ///
    /// # Errors
    /// What the operating system says; the session is then as good as in no list, and no process will claim it.
    pub fn add(&self, session: SessionId) -> io::Result<()> {
        let mut list = self.list();
        if list.listed.contains(&session) {
            return Ok(());
        }
        list.append(self.place, &[('+', session)])?;
        list.listed.push(session);
        Ok(())
    }

    /// Drops sessions whose end the authority has confirmed.
    ///
    /// # Errors
    /// What the operating system says; the sessions are then claimed once more, which does no harm.
    pub fn remove(&self, sessions: &[SessionId]) -> io::Result<()> {
        let mut list = self.list();
        list.listed.retain(|listed| !sessions.contains(listed));
        let lines: Vec<_> = sessions.iter().map(|session| ('-', *session)).collect();
        list.append(self.place, &lines)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing in here panics half-way; what is in the file is what counts.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn append(&mut self, place: Place, lines: &[(char, SessionId)]) -> io::Result<()> {
        if self.lines + lines.len() > LINES_MAX {
            self.rewrite(place)?;
        }
        // What follows half a line would be read as the rest of it.
        let mut text = if self.torn { "\n".to_owned() } else { String::new() };
        text.extend(lines.iter().map(|(sign, session)| format!("{sign}{session}\n")));
        self.lines += lines.len();
        self.torn = true;
        self.file.write_all(text.as_bytes())?;
        self.torn = false;
        self.file.sync_data()
    }

    /// Emptied first: the file must never hold this place and, below it, what another file's list had.
    fn rewrite(&mut self, place: Place) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        let mut text = header(place);
        text.extend(self.listed.iter().map(|session| format!("+{session}\n")));
        self.torn = true;
        self.file.write_all(text.as_bytes())?;
        self.torn = false;
        self.lines = self.listed.len();
        self.file.sync_all()
    }
}

/// The id of this boot of the kernel.
///
/// # Errors
/// What the operating system says, or that it is not of the form that it has.
pub fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string(BOOT_ID)?;
    let digits: String = text.trim().chars().filter(|char| *char != '-').collect();
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is no boot id");
    if digits.len() != 32 {
        return Err(wrong());
    }
    u128::from_str_radix(&digits, 16).map(u128::to_be_bytes).map_err(|_| wrong())
}

fn open(path: &Path) -> io::Result<File> {
    // A link could lead to a file that is locked elsewhere.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
}

/// On one line, so that a part of it is none.
fn header(place: Place) -> String {
    let Place { boot, device, inode } = place;
    format!("{HEADER} {:032x} {device} {inode}\n", u128::from_be_bytes(boot))
}

/// What a lock file says. A line that was not written whole is none; nothing without a whole header.
fn parse(text: &str) -> Option<LockFile> {
    let (first, rest) = text.split_once('\n')?;
    let mut parts = first.strip_prefix(HEADER)?.strip_prefix(' ')?.split(' ');
    let (boot, device, inode) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && boot.len() == 32;
    let boot = u128::from_str_radix(boot, 16).ok().filter(|_| whole)?.to_be_bytes();
    let place = Place { boot, device: device.parse().ok()?, inode: inode.parse().ok()? };
    let mut sessions: Vec<SessionId> = Vec::new();
    for line in rest.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let Some((sign, session)) = line.split_at_checked(1) else { continue };
        let Ok(session) = session.parse() else { continue };
        match sign {
            "+" if !sessions.contains(&session) => sessions.push(session),
            "-" => sessions.retain(|listed| *listed != session),
            _ => {}
        }
    }
    Some(LockFile { place, sessions })
}

const HEADER: &str = "jeton-state-1";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// File systems whose locks or inodes are not this kernel's own: NFS, SMB (three of them), 9P, FUSE, Ceph, AFS, Coda,
/// Lustre, OCFS2, GFS2.
const REMOTE: [u32; 12] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x0102_1997,
    0x6573_5546,
    0x00c3_6400,
    0x5346_414f,
    0x7375_7245,
    0x0bd0_0bd0,
    0x7461_636f,
    0x0116_1970,
];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    const BOOT: [u8; 16] = [1; 16];

    fn session(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    fn take(folder: &TempDir) -> (StateLock, Option<LockFile>) {
        StateLock::take(&folder.path().join("state"), BOOT).unwrap()
    }

    #[test]
    fn the_next_process_reads_what_the_one_before_wrote() {
        let folder = TempDir::new().unwrap();
        let (lock, found) = take(&folder);
        assert_eq!(found, None);
        let place = lock.place();
        lock.begin(&[]).unwrap();
        for number in 1..=3 {
            lock.add(session(number)).unwrap();
        }
        lock.add(session(3)).unwrap();
        lock.remove(&[session(2)]).unwrap();
        drop(lock);
        let (lock, found) = take(&folder);
        assert_eq!(found, Some(LockFile { place, sessions: vec![session(1), session(3)] }));
        lock.begin(&[session(3)]).unwrap();
        drop(lock);
        assert_eq!(take(&folder).1.unwrap().sessions, [session(3)]);
        let facts = |name: &str| fs::metadata(folder.path().join("state").join(name)).unwrap().mode() & 0o777;
        assert_eq!((facts(LOCK), facts("")), (0o600, 0o700));
    }

    /// A disk that is full, and has room again.
    #[test]
    fn a_list_that_cannot_be_written_is_short_and_never_wrong() {
        let folder = TempDir::new().unwrap();
        let (lock, _) = take(&folder);
        lock.begin(&[session(1)]).unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut lock.list().file, full);
        for _ in 0..2 {
            assert_eq!(lock.add(session(2)).unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(lock.remove(&[session(1)]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        (&file).write_all(format!("+{}", session(2)).split_at(9).0.as_bytes()).unwrap();
        lock.list().file = file;
        lock.add(session(3)).unwrap();
        lock.add(session(2)).unwrap();
        drop(lock);
        let (lock, found) = take(&folder);
        assert_eq!(found.unwrap().sessions, [session(1), session(3), session(2)], "its end may be claimed once more");
        lock.list().file = File::options().write(true).open("/dev/full").unwrap();
        assert!(lock.begin(&[]).is_err());
    }

    #[test]
    fn one_process_at_a_time_however_the_folder_is_named() {
        let folder = TempDir::new().unwrap();
        let (lock, _) = take(&folder);
        let link = folder.path().join("link");
        symlink(folder.path().join("state"), &link).unwrap();
        for name in [folder.path().join("state"), link] {
            let error = StateLock::take(&name, BOOT).unwrap_err();
            assert!(error.to_string().contains("is in use by another process; stop that one"), "{error}");
        }
        drop(lock);
        take(&folder);
    }

    /// Whatever a kill leaves of the file: no session that was not listed, at no other place.
    #[test]
    fn a_part_of_the_file_names_no_more_than_the_whole() {
        let place = Place { boot: BOOT, device: 12, inode: 345 };
        let text = format!("{}+{}\n+{}\n-{}\n", header(place), session(1), session(2), session(1));
        for end in 0..=text.len() {
            let Some(found) = parse(&text[..end]) else {
                assert!(end < header(place).len(), "{end}");
                continue;
            };
            assert_eq!(found.place, place, "{end}");
            assert!(found.sessions.iter().all(|found| [session(1), session(2)].contains(found)), "{end}");
        }
        assert_eq!(parse(&text).unwrap().sessions, [session(2)]);
        for broken in ["", "\n", "jeton-state-2 00 1 2\n", "jeton-state-1 1 2 3\n", &text[1..]] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_copy_says_where_it_came_from() {
        let folder = TempDir::new().unwrap();
        let (lock, _) = take(&folder);
        lock.begin(&[]).unwrap();
        lock.add(session(1)).unwrap();
        let copy = folder.path().join("copy");
        fs::create_dir(&copy).unwrap();
        fs::copy(folder.path().join("state").join(LOCK), copy.join(LOCK)).unwrap();
        let (other, found) = StateLock::take(&copy, BOOT).unwrap();
        assert_eq!(found.unwrap().place, lock.place());
        assert_ne!(other.place(), lock.place());
        // Begun anew, it is at its own place and lists nothing of the other's.
        other.begin(&[]).unwrap();
        drop(other);
        let (other, found) = StateLock::take(&copy, BOOT).unwrap();
        assert_eq!(found, Some(LockFile { place: other.place(), sessions: vec![] }));
    }

    #[test]
    fn a_long_list_is_written_anew_and_loses_nothing() {
        let folder = TempDir::new().unwrap();
        let (lock, _) = take(&folder);
        lock.begin(&[session(0)]).unwrap();
        for number in 0..2_000_u32 {
            let mut bytes = [9; 16];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            let passing = SessionId::from_bytes(bytes);
            lock.add(passing).unwrap();
            lock.remove(&[passing]).unwrap();
        }
        lock.add(session(1)).unwrap();
        drop(lock);
        assert_eq!(take(&folder).1.unwrap().sessions, [session(0), session(1)]);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("state");
        drop(take(&folder));
        fs::set_permissions(state.join(LOCK), fs::Permissions::from_mode(0o660)).unwrap();
        let refused = |expect: &str| {
            let error = StateLock::take(&state, BOOT).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        refused("does not belong to this user alone");
        fs::rename(state.join(LOCK), folder.path().join("elsewhere")).unwrap();
        symlink(folder.path().join("elsewhere"), state.join(LOCK)).unwrap();
        refused("cannot open");
        fs::remove_file(state.join(LOCK)).unwrap();
        fs::write(state.join("thesis.tex"), "").unwrap();
        refused("holds other files (such as thesis.tex)");
    }

    #[test]
    fn what_cannot_be_read_is_no_list() {
        let folder = TempDir::new().unwrap();
        drop(take(&folder));
        let path = folder.path().join("state").join(LOCK);
        for bytes in [b"\xff\xff".to_vec(), vec![b'x'; 70_000], b"jeton.lock".to_vec()] {
            fs::write(&path, bytes).unwrap();
            let (lock, found) = take(&folder);
            assert_eq!(found, None);
            lock.begin(&[]).unwrap();
            drop(lock);
            assert_eq!(take(&folder).1.unwrap().sessions, []);
        }
    }

    #[test]
    fn a_boot_has_one_id() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}
