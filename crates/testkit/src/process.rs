use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Web;

/// How long a process may take to come up, to become ready, or to go, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test, in a folder of its own.
pub struct Jeton {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Output {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Output {
    /// Runs a command to its end, which must come.
    #[track_caller]
    #[must_use]
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap()));
        let status = end_of(&mut child);
        if status.is_none() {
            child.kill().unwrap();
        }
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        let Some(status) = status else { panic!("{command:?} does not end\nstdout: {out}\nstderr: {err}") };
        Self { code: status.code().unwrap_or(-1), out, err }
    }

    /// Demands an exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// An authority that runs.
pub struct Authority {
    process: Running,
    /// Its HTTP address.
    pub http: SocketAddr,
    /// Its feed address.
    pub feed: SocketAddr,
    /// Its data folder.
    pub data: PathBuf,
}

/// A sidecar that runs.
pub struct Sidecar {
    process: Running,
    /// Its HTTP address.
    pub http: SocketAddr,
}

/// How a process ended that was stopped.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
}

struct Running {
    child: Child,
    name: String,
}

impl Jeton {
    /// The program at `JETON_TEST_BINARY`, or `built` (cargo's own build of it).
    #[must_use]
    pub fn new(built: &str) -> Self {
        let program = std::env::var_os("JETON_TEST_BINARY").map_or_else(|| PathBuf::from(built), PathBuf::from);
        assert!(program.is_file(), "{} is not there: build it, or unset JETON_TEST_BINARY", program.display());
        Self { program, folder: tempfile::tempdir().unwrap() }
    }

    /// This very program, with its folder inside `parent`: for what depends on the filesystem.
    #[must_use]
    pub fn at(program: PathBuf, parent: &Path) -> Self {
        assert!(program.is_file(), "{} is not there: build it", program.display());
        Self { program, folder: tempfile::tempdir_in(parent).unwrap() }
    }

    /// A path in this test's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A command of the program in a clean environment, with nothing on standard input.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).current_dir(self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("JETON_")) {
            command.env_remove(name);
        }
        command
    }

    /// The same below another program: `above` and its arguments, or nothing.
    fn command_below(&self, above: &[&str], arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        if let [program, rest @ ..] = above {
            let below = std::mem::replace(&mut command, Command::new(program));
            command.args(rest).arg(below.get_program()).args(below.get_args()).stdin(Stdio::null());
            command.current_dir(self.folder.path());
            for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("JETON_")) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        Output::of(self.command(arguments))
    }

    /// The same below another program: `above` and its arguments.
    #[must_use]
    pub fn run_below(&self, above: &[&str], arguments: &[&str]) -> Output {
        Output::of(self.command_below(above, arguments))
    }

    /// Runs a command against `authority`, as root.
    #[must_use]
    pub fn as_root(&self, authority: &Authority, arguments: &[&str]) -> Output {
        Output::of(self.command_as_root(authority, arguments))
    }

    /// The same, not run yet.
    #[must_use]
    pub fn command_as_root(&self, authority: &Authority, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command
            .env("JETON_URL", format!("http://{}", authority.http))
            .env("JETON_TOKEN_FILE", authority.data.join("root.token"));
        command
    }

    /// Starts an authority on a folder of this test, on ports that the system chooses.
    #[must_use]
    pub fn serve(&self, data: &str) -> Authority {
        self.serve_at(data, "127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap())
    }

    /// Starts an authority on given ports: those that it had before.
    #[must_use]
    pub fn serve_at(&self, data: &str, http: SocketAddr, feed: SocketAddr) -> Authority {
        let arguments = self.serve_arguments(data, http, feed);
        let (process, said) = Self::start("serve", self.command(&arguments.each_ref().map(String::as_str)));
        Authority { process, http: address(&said, "http"), feed: address(&said, "feed"), data: self.path(data) }
    }

    /// Starts an authority below another program: `above` and its arguments, or nothing, then `jeton serve` with `more`.
    /// Answers how it ended if it did before it was up.
    ///
    /// # Errors
    /// What it said, and its exit code.
    pub fn serve_below(&self, above: &[&str], data: &str, more: &[&str]) -> Result<Authority, Output> {
        let any = "127.0.0.1:0".parse().unwrap();
        let arguments = self.serve_arguments(data, any, any);
        let arguments = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>();
        let (process, said) = Self::started("serve", self.command_below(above, &arguments))?;
        Ok(Authority { process, http: address(&said, "http"), feed: address(&said, "feed"), data: self.path(data) })
    }

    /// Starts an authority and kills it with SIGKILL after a while, wherever it is by then.
    pub fn serve_killed(&self, data: &str, http: SocketAddr, feed: SocketAddr, after: Duration) {
        let arguments = self.serve_arguments(data, http, feed);
        let mut command = self.command(&arguments.each_ref().map(String::as_str));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let process = Running { child, name: "serve".to_owned() };
        std::thread::sleep(after);
        process.kill();
    }

    fn serve_arguments(&self, data: &str, http: SocketAddr, feed: SocketAddr) -> [String; 8] {
        let words = [
            "serve",
            "--json",
            "--data-dir",
            &self.text(data),
            "--http",
            &http.to_string(),
            "--feed",
            &feed.to_string(),
        ];
        words.map(ToOwned::to_owned)
    }

    /// Issues a verifier's token for `namespaces` and starts a sidecar with it; returns once it is ready.
    pub async fn sidecar(&self, authority: &Authority, name: &str, namespaces: &str, web: &Web) -> Sidecar {
        self.sidecar_through(authority, authority.feed, name, namespaces, web).await
    }

    /// The same with more arguments.
    pub async fn sidecar_ready_with(
        &self,
        authority: &Authority,
        name: &str,
        namespaces: &str,
        web: &Web,
        more: &[&str],
    ) -> Sidecar {
        self.sidecar_token(authority, name, namespaces);
        let sidecar = self.sidecar_with(authority.feed, name, namespaces, more);
        sidecar.until_ready(web).await;
        sidecar
    }

    /// The same with the feed at `feed`: a [`crate::Wire`] to the authority, for instance.
    pub async fn sidecar_through(
        &self,
        authority: &Authority,
        feed: SocketAddr,
        name: &str,
        namespaces: &str,
        web: &Web,
    ) -> Sidecar {
        self.sidecar_token(authority, name, namespaces);
        let sidecar = self.sidecar_unready(feed, name, namespaces);
        sidecar.until_ready(web).await;
        sidecar
    }

    /// Issues a verifier's token, unless there is one.
    fn sidecar_token(&self, authority: &Authority, name: &str, namespaces: &str) {
        let token = format!("{name}.token");
        if !self.path(&token).exists() {
            let scopes: Vec<String> = namespaces.split(',').map(|ns| format!("verifier@{ns}")).collect();
            let (credential, out) = (format!("jeton/{name}"), self.text(&token));
            let mut arguments = vec!["issue", &credential, "--out", &out];
            for scope in &scopes {
                arguments.extend(["--scope", scope]);
            }
            let _ = self.as_root(authority, &arguments).expect(0);
        }
    }

    /// Starts a sidecar with the token file that is there.
    #[must_use]
    pub fn sidecar_unready(&self, feed: SocketAddr, name: &str, namespaces: &str) -> Sidecar {
        self.sidecar_with(feed, name, namespaces, &[])
    }

    /// The same with `more` arguments.
    #[must_use]
    pub fn sidecar_with(&self, feed: SocketAddr, name: &str, namespaces: &str, more: &[&str]) -> Sidecar {
        self.sidecar_below(&[], feed, name, namespaces, more)
    }

    /// The same below another program: `above` and its arguments, or nothing.
    #[must_use]
    pub fn sidecar_below(
        &self,
        above: &[&str],
        feed: SocketAddr,
        name: &str,
        namespaces: &str,
        more: &[&str],
    ) -> Sidecar {
        let (feed, token) = (format!("http://{feed}"), self.text(&format!("{name}.token")));
        let mut arguments = vec![
            "sidecar",
            "--json",
            "--feed",
            &feed,
            "--namespace",
            namespaces,
            "--token-file",
            &token,
            "--http",
            "127.0.0.1:0",
            "--id",
            name,
            "--drain",
            "0s",
        ];
        arguments.extend(more);
        let (process, said) = Self::start(name, self.command_below(above, &arguments));
        Sidecar { process, http: address(&said, "http") }
    }

    fn start(name: &str, command: Command) -> (Running, Value) {
        match Self::started(name, command) {
            Ok(started) => started,
            Err(ended) => panic!("{name} did not start: {} (exit code {})", ended.err, ended.code),
        }
    }

    fn started(name: &str, mut command: Command) -> Result<(Running, Value), Output> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut process = Running { child, name: name.to_owned() };
        let mut out = BufReader::new(process.child.stdout.take().unwrap());
        let mut err = process.child.stderr.take().unwrap();
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if out.read_line(&mut line).unwrap() == 0 {
                let mut said = String::new();
                err.read_to_string(&mut said).unwrap();
                let status = end_of(&mut process.child).unwrap_or_else(|| panic!("{name} does not end: {said}"));
                return Err(Output { code: status.code().unwrap_or(-1), out: text, err: said });
            }
            text.push_str(&line);
            if let Ok(said) = serde_json::from_str(&text) {
                // A full pipe must not stop the process: what it says later is passed on.
                std::thread::spawn(move || std::io::copy(&mut err, &mut std::io::stderr()));
                return Ok((process, said));
            }
        }
    }
}

impl Authority {
    /// Waits for its end, which must come by itself.
    #[must_use]
    pub fn wait(mut self) -> Stopped {
        let status = end_of(&mut self.process.child).unwrap_or_else(|| panic!("it does not end by itself"));
        Stopped { code: status.code().unwrap_or(-1) }
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_none()
    }

    /// SIGSTOP; returns once every thread has stopped.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// SIGCONT.
    pub fn wake(&self) {
        self.process.signal(Signal::CONT);
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }

    /// SIGTERM, and waits for its end.
    #[must_use]
    pub fn stop(self) -> Stopped {
        self.process.stop()
    }

    /// Its API as a base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The root token.
    #[must_use]
    pub fn root_token(&self) -> String {
        read(&self.data.join("root.token"))
    }
}

impl Sidecar {
    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// SIGSTOP; returns once every thread has stopped, so that whatever is sent from here on waits for [`Self::wake`].
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// SIGCONT.
    pub fn wake(&self) {
        self.process.signal(Signal::CONT);
    }

    /// SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }

    /// SIGTERM, and waits for its end.
    #[must_use]
    pub fn stop(self) -> Stopped {
        self.process.stop()
    }

    /// Waits until it can answer.
    pub async fn until_ready(&self, web: &Web) {
        let started = Instant::now();
        loop {
            let answer = web.get(self.http, "/readyz", None).await;
            if answer.as_ref().is_some_and(|answer| answer.status == 200) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{} is not ready: {answer:?}", self.process.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        // A thread that ended meanwhile runs no more either.
        let states = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
        states.into_iter().all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn freeze(&self) {
        self.signal(Signal::STOP);
        let started = Instant::now();
        while !self.is_stopped() {
            assert!(started.elapsed() < PATIENCE, "{} does not freeze", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(mut self) -> Stopped {
        self.signal(Signal::TERM);
        let status = end_of(&mut self.child).unwrap_or_else(|| panic!("{} does not stop", self.name));
        Stopped { code: status.code().unwrap_or(-1) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file's text without the line's end.
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap().trim_end().to_owned()
}

fn address(said: &Value, field: &str) -> SocketAddr {
    said[field].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {field} in {said}"))
}

/// How a process ends, if it does so in time.
fn end_of(child: &mut Child) -> Option<ExitStatus> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Reads a pipe to its end, so that a process never waits for somebody to do so.
fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}
