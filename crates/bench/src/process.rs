//! What a process has used, as the kernel tells it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

/// CPU time of a process since it started, user and system, threads that have ended included.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name before it may hold anything, so what counts begins after the last bracket: state is the third field.
    let (_, rest) = stat.rsplit_once(") ").expect("a stat line");
    let ticks: u64 = rest.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * TICK_MS)
}

/// The kernel tells times in hundredths of a second, whatever it counts in.
const TICK_MS: u64 = 10;

/// CPU time of this thread: what others on the machine take does not count.
pub fn cpu_of_thread() -> Duration {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(at.tv_sec.unsigned_abs(), u32::try_from(at.tv_nsec).unwrap_or_default())
}

/// Bytes of a process that are in memory.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

/// A child that says things line by line; killed when dropped.
pub struct Talking {
    child: Child,
    /// Held open as long as this process lives: see [`end_with_parent`].
    _life: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Talking {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this program runs again");
        let life = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, _life: life, output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it says next.
    pub fn line(&mut self) -> String {
        self.output.next().expect("the child says something").expect("text")
    }

    /// The address that it says next.
    pub fn address(&mut self) -> SocketAddr {
        self.line().parse().expect("an address")
    }
}

/// In a child: ends it when its parent is gone, however that went.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(0);
    });
}

impl Drop for Talking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
