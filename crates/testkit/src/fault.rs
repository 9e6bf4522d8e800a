use std::{
    iter::StepBy,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Which of `all` faults this run is to play: a tenth, unless `JETON_TEST_FAULTS` says `full` or `K/N`, the Kth of N parts.
/// Each part goes through all from one end to the other, every Nth, so that the parts together are all of them even where
/// each run counts how many there are for itself.
pub fn faults(all: Range<usize>) -> StepBy<Range<usize>> {
    share(all, std::env::var("JETON_TEST_FAULTS").ok().as_deref())
}

fn share(all: Range<usize>, said: Option<&str>) -> StepBy<Range<usize>> {
    let (part, parts) = match said {
        None => (1, 10),
        Some("full") => (1, 1),
        Some(part) => {
            let (part, parts) = part.split_once('/').expect("JETON_TEST_FAULTS is `full` or `K/N`");
            (part.parse().unwrap(), parts.parse().unwrap())
        }
    };
    assert!((1..=parts).contains(&part), "JETON_TEST_FAULTS: part {part} of {parts}");
    (all.start + part - 1..all.end).step_by(parts)
}

/// A file system of its own, in memory and of a given size; gone when dropped.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts it.
    ///
    /// # Errors
    /// What `mount` said, if it may not: [`in_own_namespace`] then helps.
    pub fn mount(path: &Path, mib: usize) -> Result<Self, String> {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={mib}m,mode=700");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "jeton-test"]).arg(path).output().unwrap();
        if output.status.success() {
            Ok(Self { path: path.to_owned() })
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Fills it to the last byte; the file that does so is to be removed for room.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        use std::io::Write as _;
        let path = self.path.join("filler");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut block = vec![0x5a; 1 << 20];
        while !block.is_empty() {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
                    block.truncate(block.len() / 2);
                }
            }
        }
        path
    }
}

impl SmallDisk {
    /// Makes it read-only (`ro`) or not (`rw`).
    pub fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.path).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: also with a process of a test that failed still in it.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// Runs this one test of this program again where it may mount: in a user namespace of its own. True if that was done,
/// and the caller is to return.
///
/// # Panics
/// If the test fails there, or there can be no such namespace: it is never skipped.
#[must_use]
pub fn in_own_namespace(test: &str, refused: &str) -> bool {
    const MARK: &str = "JETON_TEST_OWN_NAMESPACE";
    assert!(std::env::var_os(MARK).is_none(), "not even there: {refused}");
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .status();
    let done = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    assert!(
        done,
        "this needs to mount a tmpfs ({refused}), as root or in a user namespace ({status:?}): run it as root"
    );
    true
}

/// strace, as it makes system calls of a program fail.
pub struct Strace {
    log: PathBuf,
    arguments: Vec<String>,
}

impl Strace {
    /// The `nth` of these calls fails with `error`, in each thread, where it is on one of `paths` or there are none.
    #[must_use]
    pub fn failing(log: PathBuf, calls: &str, error: &str, nth: usize, paths: &[String]) -> Self {
        Self::with(log, calls, paths, &["-e".to_owned(), format!("inject={calls}:error={error}:when={nth}")])
    }

    /// Nothing fails: it only counts.
    #[must_use]
    pub fn counting(log: PathBuf, calls: &str, paths: &[String]) -> Self {
        Self::with(log, calls, paths, &[])
    }

    fn with(log: PathBuf, calls: &str, paths: &[String], more: &[String]) -> Self {
        // -D: the program is our child and strace is not, so that its exit code and its end are its own.
        let mut arguments: Vec<String> =
            ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o"].map(str::to_owned).to_vec();
        arguments.push(log.to_str().unwrap().to_owned());
        arguments.extend(["-e".to_owned(), format!("trace={calls}")]);
        arguments.extend(paths.iter().flat_map(|path| ["-P".to_owned(), path.clone()]));
        arguments.extend_from_slice(more);
        Self { log, arguments }
    }

    /// What to put before the program.
    #[must_use]
    pub fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// The calls that were made to fail, as strace noted them. To be asked after the program's end.
    #[must_use]
    pub fn injected(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains("(INJECTED)")).collect()
    }

    /// The most calls of one kind that one thread made: strace counts each kind for itself.
    #[must_use]
    pub fn calls_max(&self) -> usize {
        let mut counts = std::collections::HashMap::<String, usize>::new();
        for line in self.lines() {
            // Before the arguments stand the thread and the call.
            if let Some((call, _)) = line.split_once('(').filter(|_| !line.contains("resumed>")) {
                *counts.entry(call.to_owned()).or_default() += 1;
            }
        }
        counts.into_values().max().unwrap_or(0)
    }

    fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// All that strace has noted so far.
    #[must_use]
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until strace has noted everything: it ends after the program.
    pub fn finish(&self) {
        let started = Instant::now();
        let mark = self.log.to_str().unwrap();
        while running_with(mark) {
            assert!(started.elapsed() < Duration::from_secs(60), "strace does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a process runs that names this in its arguments.
fn running_with(mark: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|process| std::fs::read(process.ok()?.path().join("cmdline")).ok())
        .any(|arguments| arguments.split(|byte| *byte == 0).any(|argument| argument == mark.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_all() {
        let played = |said: Option<&str>| share(1..52, said).collect::<Vec<_>>();
        assert_eq!(played(None), [1, 11, 21, 31, 41, 51]);
        assert_eq!(played(Some("3/20")), [3, 23, 43]);
        let mut parts: Vec<_> = (1..=7).flat_map(|part| played(Some(&format!("{part}/7")))).collect();
        parts.sort_unstable();
        assert_eq!(parts, played(Some("full")));
        assert_eq!(parts.len(), 51);
    }
}
