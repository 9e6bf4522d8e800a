use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn with_mode(path: &Path, text: &[u8], mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn refused<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>, expect: &str) {
    let text = result.unwrap_err().to_string();
    assert!(text.contains(expect), "{text:?} should contain {expect:?}");
}

#[test]
fn what_is_written_is_private_and_read_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("root.token");
    write_private(&path, b"first\n").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    // A file that was open to others is not reused with its mode.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    write_private(&path, b"second\n").unwrap();
    let facts = fs::metadata(&path).unwrap();
    assert_eq!(facts.mode() & 0o7777, 0o600);
    assert_ne!(facts.ino(), inode, "replaced, not overwritten");
    assert_eq!(read_private(&path).unwrap().expose(), "second");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn a_failed_write_leaves_the_old_content_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    refused(write_private(folder.path(), b"x"), "is not a regular file");
    refused(write_private(Path::new("/dev/null"), b"x"), "is not a regular file");
    refused(write_private(&folder.path().join("none/token"), b"x"), "there is no such folder");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_prepared_file_that_is_not_finished_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    write_private(&path, b"old").unwrap();
    let prepared = PrivateFile::prepare(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    drop(prepared);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(read_private(&path).unwrap().expose(), "old");
    PrivateFile::prepare(&path).unwrap().finish(b"new").unwrap();
    assert_eq!(read_private(&path).unwrap().expose(), "new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn one_newline_at_the_end_is_not_part_of_a_secret() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    for (content, expect) in [("t", "t"), ("t\n", "t"), ("t\r\n", "t"), ("t\n\n", "t\n"), (" t ", " t ")] {
        with_mode(&path, content.as_bytes(), 0o600);
        assert_eq!(read_private(&path).unwrap().expose(), expect, "{content:?}");
    }
}

#[test]
fn a_secret_in_a_wrong_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    refused(read_private(&path), "there is no file");
    refused(read_private(folder.path()), "is not a regular file");
    for mode in [0o640, 0o604, 0o620, 0o777] {
        with_mode(&path, b"t", mode);
        refused(read_private(&path), &format!("(mode {mode:04o}); run `chmod 600 "));
    }
    with_mode(&path, b"", 0o600);
    refused(read_private(&path), "is empty");
    with_mode(&path, b"\n", 0o600);
    refused(read_private(&path), "is empty");
    with_mode(&path, &[0xff, 0xfe], 0o600);
    refused(read_private(&path), "is not text");
    with_mode(&path, &vec![b'x'; PRIVATE_FILE_BYTES_MAX + 1], 0o600);
    refused(read_private(&path), "is longer than 4096 bytes");
    with_mode(&path, &vec![b'x'; PRIVATE_FILE_BYTES_MAX], 0o400);
    assert_eq!(read_private(&path).unwrap().expose().len(), PRIVATE_FILE_BYTES_MAX);
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    refused(read_private(&path), "is not a regular file");
}

#[test]
fn a_link_is_judged_by_where_it_leads() {
    let folder = TempDir::new().unwrap();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    symlink(&target, &link).unwrap();
    with_mode(&target, b"t", 0o600);
    assert_eq!(read_private(&link).unwrap().expose(), "t");
    with_mode(&target, b"t", 0o644);
    refused(read_private(&link), "may be read or changed by others");
}

#[test]
fn a_data_folder_is_made_private() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a/b");
    data_folder(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
    data_folder(&path).unwrap();
}

#[test]
fn only_an_empty_folder_or_our_own_is_a_data_folder() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data");
    fs::create_dir_all(path.join("lost+found")).unwrap();
    data_folder(&path).unwrap();
    fs::write(path.join("thesis.tex"), "").unwrap();
    refused(data_folder(&path), "holds other files (such as thesis.tex) and no Jeton data; choose an empty or a new");
    for ours in ["jeton.db", "jeton.lock"] {
        fs::write(path.join(ours), "").unwrap();
        data_folder(&path).unwrap();
        fs::remove_file(path.join(ours)).unwrap();
    }
    refused(data_folder(&path.join("thesis.tex")), "is not a folder");
    refused(data_folder(&path.join("thesis.tex/data")), "is not a folder");
}

#[test]
fn an_unwritable_folder_is_refused() {
    if rustix::process::geteuid().is_root() {
        // Root may write everywhere; there is nothing to refuse.
        return;
    }
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    refused(data_folder(folder.path()), "is not writable by this user");
    refused(data_folder(&folder.path().join("new")), "is not writable by this user");
}

#[test]
fn a_folder_is_locked_once() {
    let folder = TempDir::new().unwrap();
    let lock = lock_folder(folder.path()).unwrap();
    let me = std::process::id();
    refused(lock_folder(folder.path()), &format!("is in use by another jeton (process {me}); stop that one or choose"));
    assert_eq!(fs::read_to_string(folder.path().join("jeton.lock")).unwrap(), format!("{me}\n"));
    drop(lock);
    lock_folder(folder.path()).unwrap();
    assert!(matches!(lock_folder(&folder.path().join("none")), Err(LockError::Io { .. })));
}

#[test]
fn a_watch_sees_each_change_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    let mut watch = FileWatch::new(&path);
    assert!(matches!(watch.look(), Look::Missing(_)));
    write_private(&path, b"same length").unwrap();
    assert!(matches!(watch.look(), Look::Changed));
    assert!(matches!(watch.look(), Look::Same));
    // A replacement of equal length, as fast as can be.
    write_private(&path, b"length same").unwrap();
    assert!(matches!(watch.look(), Look::Changed));
    assert!(matches!(watch.look(), Look::Same));
    fs::remove_file(&path).unwrap();
    assert!(matches!(watch.look(), Look::Missing(_)));
    fs::write(&path, "back").unwrap();
    assert!(matches!(watch.look(), Look::Changed));
}
