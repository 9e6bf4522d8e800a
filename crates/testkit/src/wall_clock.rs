use std::{
    fs,
    path::{Path, PathBuf},
};

/// A wall clock that a test sets while processes run by it: libfaketime, preloaded. Their boot clock and their monotonic
/// clock stay the machine's.
pub struct WallClock {
    file: PathBuf,
    arguments: Vec<String>,
}

impl WallClock {
    /// One that is right so far, kept in `file`.
    ///
    /// # Panics
    /// If libfaketime is not installed: the test that needs it is never skipped.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        let library = library().expect("libfaketime is missing: apt-get install faketime");
        let arguments = vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
            // The file is read at each reading of the clock: what is set holds from the next one on.
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            "NO_FAKE_STAT=1".to_owned(),
        ];
        let clock = Self { file, arguments };
        clock.set(0);
        clock
    }

    /// Sets it so many seconds ahead of the machine's, or behind it.
    pub fn set(&self, seconds: i64) {
        // Never seen half written.
        let beside = self.file.with_extension("next");
        fs::write(&beside, format!("{seconds:+}\n")).unwrap();
        fs::rename(beside, &self.file).unwrap();
    }

    /// What to put before a program that is to run by it.
    #[must_use]
    pub fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }
}

/// The library for programs with threads, wherever the distribution puts it.
fn library() -> Option<PathBuf> {
    const FOLDERS: [&str; 4] = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"];
    let below = FOLDERS.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let folders = FOLDERS.iter().map(PathBuf::from).chain(below.map(|entry| entry.path()));
    folders.map(|folder| folder.join(Path::new("faketime/libfaketimeMT.so.1"))).find(|path| path.is_file())
}
