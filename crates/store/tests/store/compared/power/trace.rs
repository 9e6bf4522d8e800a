//! What strace has seen a process do to a folder, in the order in which it was done.

use std::{collections::HashMap, path::Path, process::Command};

/// One change of the folder, or a promise about it. Files are named without the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// There is such a file from here on.
    Create(String),
    Write(String, u64, Vec<u8>),
    /// At its end.
    Append(String, Vec<u8>),
    Truncate(String, u64),
    /// So many bytes from so far are there; what was not there is zeros.
    Allocate(String, u64),
    Sync(String),
    /// The names in the folder are durable.
    SyncFolder,
    Remove(String),
    Rename(String, String),
    /// Whoever asked was told that this moment is done.
    Told(usize),
}

const CALLS: &str = "openat,pwrite64,pwritev,write,writev,fsync,fdatasync,ftruncate,fallocate,unlink,unlinkat,rename,renameat,renameat2";

/// Puts strace above a program.
pub(super) fn traced(program: &Path, log: &Path) -> Command {
    let mut command = Command::new("strace");
    // All text in hex, so that no comma or bracket is within one; and never cut off.
    command.args(["-f", "-y", "-xx", "-s", "40000000", "--seccomp-bpf", "-qq", "-e", "signal=none"]);
    command.args(["-e", &format!("trace={CALLS}")]).arg("-o").arg(log).arg(program);
    command
}

/// Reads what was done in `folder`. Moments that were told are lines in `marker`.
pub(super) fn read(log: &Path, folder: &Path, marker: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(log).unwrap();
    let mut unfinished = HashMap::<&str, String>::new();
    let mut events = Vec::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        // A call counts when it is done; only then is it known that it was.
        let whole = if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, begun.to_owned());
            continue;
        } else if let Some((_, rest)) = call.split_once(" resumed>") {
            unfinished.remove(thread).unwrap() + rest
        } else {
            call.to_owned()
        };
        events.extend(event(&whole, folder, marker));
    }
    events
}

fn event(call: &str, folder: &Path, marker: &Path) -> Option<Event> {
    let (before, result) = call.rsplit_once(" = ")?;
    let (name, arguments) = before.trim_end().strip_suffix(')')?.split_once('(')?;
    if result.starts_with('-') {
        return None;
    }
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let number = |at: usize| arguments[at].parse::<u64>().unwrap();
    // The file of a descriptor, of which strace says the path.
    let open = |at: usize| {
        let (_, rest) = arguments[at].split_once('<')?;
        let (path, deleted) = rest.split_once('>')?;
        deleted.is_empty().then(|| unescape(path))
    };
    let named = |at: usize| unescape(arguments[at].trim_matches('"'));
    let inside = |path: Vec<u8>| {
        let path = String::from_utf8(path).unwrap();
        Path::new(&path).strip_prefix(folder).ok().map(|name| name.to_str().unwrap().to_owned())
    };
    match name {
        "openat" => {
            let name = inside(named(1))?;
            (arguments[2].contains("O_CREAT")).then_some(Event::Create(name))
        }
        "pwrite64" => {
            let (name, bytes) = (inside(open(0)?)?, named(1));
            assert_eq!(bytes.len().to_string(), result, "{name} was written in part");
            Some(Event::Write(name, number(3), bytes))
        }
        "write" => {
            let (path, bytes) = (open(0)?, named(1));
            if path == marker.as_os_str().as_encoded_bytes() {
                return Some(Event::Told(std::str::from_utf8(&bytes).unwrap().trim().parse().unwrap()));
            }
            Some(Event::Append(inside(path)?, bytes))
        }
        "fsync" | "fdatasync" => {
            let name = inside(open(0)?)?;
            Some(if name.is_empty() { Event::SyncFolder } else { Event::Sync(name) })
        }
        "ftruncate" => Some(Event::Truncate(inside(open(0)?)?, number(1))),
        "fallocate" => Some(Event::Allocate(inside(open(0)?)?, number(2) + number(3))),
        "unlink" => Some(Event::Remove(inside(named(0))?)),
        "unlinkat" => Some(Event::Remove(inside(named(1))?)),
        "rename" => Some(Event::Rename(inside(named(0))?, inside(named(1))?)),
        "renameat" | "renameat2" => Some(Event::Rename(inside(named(1))?, inside(named(3))?)),
        other => {
            let path = open(0).and_then(inside);
            assert!(path.is_none(), "{other} of {path:?} is not understood");
            None
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    let bytes = text.as_bytes().chunks_exact(4);
    bytes.map(|hex| u8::try_from(digit(hex[2]) * 16 + digit(hex[3])).unwrap()).collect()
}

#[test]
fn lines_of_strace_are_read() {
    let hex = |text: &str| text.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let (db, marker, folder) = (hex("/d/a.db"), hex("/m"), hex("/d"));
    let log = tempfile::NamedTempFile::new().unwrap();
    let lines = [
        format!("7 openat(AT_FDCWD<{}>, \"{db}\", O_RDWR|O_CREAT, 0600) = 3<{db}>", hex("/")),
        format!("7 pwrite64(3<{db}>, \"\\x2c\\x29\", 2, 9 <unfinished ...>"),
        format!("8 fsync(4<{folder}>) = 0"),
        "7 <... pwrite64 resumed>) = 2".to_owned(),
        format!("7 fdatasync(3<{db}>) = -1 EIO (Input/output error)"),
        format!("7 ftruncate(3<{db}>, 5) = 0"),
        format!("8 write(5<{marker}>, \"{}\", 3) = 3", hex("12\n")),
        format!("8 write(2<{}>, \"\\x2c\", 1) = 1", hex("/dev/null")),
        format!("8 unlink(\"{db}\") = 0"),
        format!("8 pwrite64(3<{db}>(deleted), \"\\x2c\", 1, 0) = 1"),
    ];
    std::fs::write(log.path(), lines.join("\n")).unwrap();
    let name = "a.db".to_owned();
    assert_eq!(
        read(log.path(), Path::new("/d"), Path::new("/m")),
        [
            Event::Create(name.clone()),
            Event::SyncFolder,
            Event::Write(name.clone(), 9, b",)".to_vec()),
            Event::Truncate(name.clone(), 5),
            Event::Told(12),
            Event::Remove(name),
        ]
    );
}
