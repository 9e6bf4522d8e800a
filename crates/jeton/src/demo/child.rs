//! Child processes of the demo: this same program, with other arguments.

use std::{net::SocketAddr, process::Stdio};

use jeton_types::Span;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child as Process, ChildStdout, Command},
    time::timeout,
};

use crate::exit::{Exit, Failure};

/// How long a child may take to say that it is there, and to go.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// One running process. Killed when it is dropped.
pub struct Child {
    name: String,
    process: Process,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Child {
    /// Starts this program with `arguments`.
    pub fn start(name: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::internal)?;
        let mut process = Command::new(program)
            .args(arguments)
            // What the person has set for her own authority must not leak into the demo's.
            .env_remove("JETON_URL")
            .env_remove("JETON_TOKEN")
            .env_remove("JETON_TOKEN_FILE")
            .env_remove("JETON_DATA_DIR")
            .env_remove("JETON_KEYS_DIR")
            .env_remove("JETON_HTTP")
            .env_remove("JETON_FEED")
            .env("RUST_LOG", std::env::var("JETON_DEMO_LOG").unwrap_or_else(|_| "off".to_owned()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::internal(format!("cannot start {name}: {error}")))?;
        let lines = process.stdout.take().map(|out| BufReader::new(out).lines());
        Ok(Self { name: name.to_owned(), process, lines })
    }

    /// Waits for the document that a service prints once it listens, and takes addresses out of it.
    pub async fn addresses<const N: usize>(&mut self, fields: [&str; N]) -> Result<[SocketAddr; N], Failure> {
        let mut text = String::new();
        let document: Value = loop {
            let Some(lines) = &mut self.lines else { return Err(self.silent()) };
            match timeout(PATIENCE, lines.next_line()).await {
                Ok(Ok(Some(line))) => text.push_str(&line),
                _ => return Err(self.silent()),
            }
            if let Ok(document) = serde_json::from_str(&text) {
                break document;
            }
        };
        let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
        for (address, field) in addresses.iter_mut().zip(fields) {
            *address = document[field].as_str().and_then(|text| text.parse().ok()).ok_or_else(|| self.silent())?;
        }
        Ok(addresses)
    }

    /// The lines that it prints from here on.
    pub fn lines(&mut self) -> Option<Lines<BufReader<ChildStdout>>> {
        self.lines.take()
    }

    /// SIGSTOP.
    pub fn freeze(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn wake(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    /// SIGKILL, at once and without a word.
    pub async fn kill(mut self) -> Result<(), Failure> {
        self.process.kill().await.map_err(|error| Failure::internal(format!("cannot kill {}: {error}", self.name)))
    }

    /// SIGTERM, and waits until it is gone.
    pub async fn stop(mut self) -> Result<(), Failure> {
        self.signal(Signal::TERM)?;
        match timeout(PATIENCE, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Failure::new(Exit::Refused, format!("{} ended with {status}", self.name))),
            Ok(Err(error)) => Err(Failure::internal(format!("{}: {error}", self.name))),
            Err(_) => Err(Failure::new(
                Exit::Refused,
                format!("{} did not stop within {}", self.name, Span::from_secs(PATIENCE.as_secs())),
            )),
        }
    }

    /// Runs to its end and says how it ended.
    pub async fn finish(mut self) -> Result<bool, Failure> {
        match timeout(PATIENCE, self.process.wait()).await {
            Ok(Ok(status)) => Ok(status.success()),
            Ok(Err(error)) => Err(Failure::internal(format!("{}: {error}", self.name))),
            Err(_) => Err(self.silent()),
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::internal(format!("{} has ended by itself", self.name)))?;
        kill_process(pid, signal).map_err(|error| Failure::internal(format!("{}: {error}", self.name)))
    }

    fn silent(&self) -> Failure {
        Failure::internal(format!("{} did not start; set JETON_DEMO_LOG=info to see why", self.name))
    }
}
