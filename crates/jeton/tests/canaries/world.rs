//! The processes, as talkative as they can be told to be, and what is kept of all that they say.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use jeton_testkit::{Answer, Jeton, Web};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    paths::Paths,
    search::{Form, Hit, Search, files},
};

pub(crate) struct World {
    pub(crate) jeton: Jeton,
    authority: Process,
    sidecars: [Process; 2],
    events: Process,
    watch: Watch,
    pub(crate) kept: Arc<Kept>,
    places: Places,
    pub(crate) commands: u64,
}

/// Where everything is.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) http: SocketAddr,
    pub(crate) feed: SocketAddr,
    pub(crate) sidecar: SocketAddr,
    pub(crate) root: String,
}

/// What is kept while the test runs: the secrets, and what was said where nothing else keeps it.
#[derive(Default)]
pub(crate) struct Kept {
    secrets: Mutex<Vec<String>>,
    said: Mutex<Vec<u8>>,
    requests: AtomicU64,
}

/// What was searched, and what was found.
pub(crate) struct Searched {
    pub(crate) secrets: u32,
    pub(crate) requests: u64,
    pub(crate) commands: u64,
    pub(crate) bytes: u64,
    pub(crate) logged: u64,
    pub(crate) places: usize,
    pub(crate) hits: Vec<Hit>,
}

impl Kept {
    pub(crate) fn secret(&self, token: &str) {
        self.secrets.lock().unwrap().push(token.to_owned());
    }

    /// An answer in which no secret belongs: all but that to issuing and rotating.
    pub(crate) fn answer(&self, answer: &Answer) {
        let mut said = self.said.lock().unwrap();
        writeln!(said, "{} {:?}", answer.status, answer.headers).unwrap();
        said.extend_from_slice(&answer.body);
        said.push(b'\n');
    }

    pub(crate) fn text(&self, text: &[u8]) {
        let mut said = self.said.lock().unwrap();
        said.extend_from_slice(text);
        said.push(b'\n');
    }

    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
        let watch = Watch::start();
        let (authority, said) = serve(&jeton, "0");
        let address = |field: &str| said[field].as_str().unwrap().parse::<SocketAddr>().unwrap();
        let (http, feed) = (address("http"), address("feed"));
        let root = std::fs::read_to_string(jeton.path("data/root.token")).unwrap().trim().to_owned();
        let kept = Arc::new(Kept::default());
        kept.secret(&root);

        let namespace = json!({ "name": "acme", "prefix": "acme_live" });
        assert_eq!(web.post(http, "/v1/namespaces", Some(&root), &namespace).await.unwrap().status, 201);
        let mut sidecars = Vec::new();
        for name in ["edge-1", "edge-2"] {
            let request = json!({ "name": name, "scopes": ["verifier@acme"] });
            let issued =
                web.post(http, "/v1/namespaces/jeton/credentials", Some(&root), &request).await.unwrap().json();
            let secret = issued["token"]["secret"].as_str().unwrap().to_owned();
            private(&jeton.path(&format!("{name}.token")), &secret);
            kept.secret(&secret);
            sidecars.push(sidecar(&jeton, feed, name));
        }
        let [(one, one_at), (two, two_at)] = <[_; 2]>::try_from(sidecars).ok().unwrap();
        for at in [one_at, two_at] {
            while web.get(at, "/readyz", None).await.is_none_or(|answer| answer.status != 200) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let mut events = loud(jeton.command(&["watch", "--json"]));
        events.env("JETON_URL", format!("http://{http}")).env("JETON_TOKEN_FILE", jeton.path("data/root.token"));
        events.stdout(File::create(jeton.path("watch.stdout")).unwrap());
        let events = Process::spawn(&jeton, events, "watch");
        let places = Places { http, feed, sidecar: one_at, root };
        Self { jeton, authority, sidecars: [one, two], events, watch, kept, places, commands: 0 }
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths::new(self.places.clone(), Arc::clone(&self.kept))
    }

    /// Runs a command as root, by the file or by the variable, and keeps what it says. `quiet` is for the one that prints a
    /// secret because that is what it is for.
    pub(crate) fn command(&mut self, arguments: &[&str], input: &str) -> Output {
        self.commands += 1;
        let mut command = loud(self.jeton.command(arguments));
        command.env("JETON_URL", format!("http://{}", self.places.http));
        if self.commands.is_multiple_of(2) {
            command.env("JETON_TOKEN", &self.places.root);
        } else {
            command.env("JETON_TOKEN_FILE", self.jeton.path("data/root.token"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Before it is fed, so that it has not ended yet.
        self.watch.look_at(child.id());
        // A command that did not want it is gone by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        self.kept.text(&output.stderr);
        self.kept.text(&output.stdout);
        output
    }

    /// Asks for all that can be read, ends the processes in each way there is, and searches.
    pub(crate) async fn end(mut self) -> Searched {
        let web = Web::default();
        self.read_all(&web).await;
        let [one, two] = &mut self.sidecars;
        one.terminate();
        two.kill();
        self.authority.kill();
        self.events.kill();
        // Recovers its log, and goes in peace.
        let (mut again, said) = serve(&self.jeton, "1");
        let http = said["http"].as_str().unwrap().parse().unwrap();
        self.kept.answer(&web.get(http, "/metrics", Some(&self.places.root)).await.unwrap());
        again.terminate();
        let processes = self.watch.stop();
        self.search(&processes)
    }

    async fn read_all(&mut self, web: &Web) {
        let root = Some(self.places.root.as_str());
        for path in ["/metrics", "/livez", "/readyz", "/openapi.json", "/.well-known/jwks.json", "/v1/audit/head"] {
            self.kept.answer(&web.get(self.places.http, path, root).await.unwrap());
        }
        for path in ["/metrics", "/readyz"] {
            self.kept.answer(&web.get(self.places.sidecar, path, None).await.unwrap());
        }
        let lists = [
            "/v1/namespaces",
            "/v1/namespaces/acme/credentials",
            "/v1/namespaces/jeton/credentials",
            "/v1/revocations",
            "/v1/audit",
            "/v1/verifiers",
        ];
        for list in lists {
            let mut after = String::new();
            loop {
                let answer = web.get(self.places.http, &format!("{list}?limit=100{after}"), root).await.unwrap();
                assert_eq!(answer.status, 200, "{list}");
                self.kept.answer(&answer);
                let page = answer.json();
                for item in page["items"].as_array().unwrap().iter().step_by(7) {
                    self.read_one(web, list, item["id"].as_str()).await;
                }
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => break,
                }
            }
        }
    }

    /// What there is of one thing: a credential's tokens, a revocation's receipt with what is signed in it.
    async fn read_one(&self, web: &Web, list: &str, id: Option<&str>) {
        use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

        let bearer = format!("Bearer {}", self.places.root);
        let (path, accept) = match (list, id) {
            ("/v1/revocations", Some(id)) => (format!("{list}/{id}/receipt"), "application/jose"),
            (list, Some(id)) if list.ends_with("credentials") => (format!("/v1/credentials/{id}/tokens"), "*/*"),
            _ => return,
        };
        let headers = [("authorization", bearer.as_str()), ("accept", accept)];
        let answer = web.request("GET", self.places.http, &path, &headers, "").await.unwrap();
        assert!(matches!(answer.status, 200 | 409), "{path}: {}", answer.status);
        self.kept.answer(&answer);
        for part in answer.body.split(|byte| *byte == b'.') {
            self.kept.text(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
        }
    }

    fn search(self, processes: &BTreeSet<Vec<u8>>) -> Searched {
        let mut search = Search::new();
        let mut secrets = std::mem::take(&mut *self.kept.secrets.lock().unwrap());
        secrets.sort_unstable();
        secrets.dedup();
        for secret in &secrets {
            search.add(secret);
        }
        let (mut hits, mut bytes, mut logged, mut places) = (Vec::new(), 0, 0, 2);
        let (folder, mut names) = (self.jeton.path(""), Vec::new());
        for path in files(&folder) {
            let (found, length) = search.file(&path);
            let name = path.strip_prefix(&folder).unwrap().display().to_string();
            if name == "data/root.token" || name.ends_with(".token") {
                // And this is where a secret belongs: the search is no blind one.
                assert!(!found.is_empty(), "{name} holds a secret and it is not found");
                continue;
            }
            (bytes, places) = (bytes + length, places + 1);
            hits.extend(search.bytes("the name of a file", name.as_bytes()));
            names.push(name.clone());
            if name.ends_with(".log") {
                logged += length;
            }
            hits.extend(found);
        }
        for folder in KEPT_IN {
            assert!(names.iter().any(|name| name.starts_with(folder)), "nothing of {folder} was searched: {names:?}");
        }
        let said = self.kept.said.lock().unwrap();
        hits.extend(search.bytes("what was answered or printed", &said));
        bytes += said.len() as u64;
        assert!(processes.len() > 10, "few processes were seen: {}", processes.len());
        for process in processes {
            hits.extend(search.bytes("/proc", process));
            bytes += process.len() as u64;
        }
        reverse(&search, &secrets, &said);
        Searched {
            secrets: search.secrets(),
            requests: self.kept.requests.load(Ordering::Relaxed),
            commands: self.commands,
            bytes,
            logged,
            places,
            hits,
        }
    }
}

/// What the processes write to: each holds something that was searched.
const KEPT_IN: [&str; 5] = ["data/jeton.db", "data/keys/", "edge-1.state/", "edge-2.state/", "serve-0.log"];

/// One secret in each form, in the midst of what was searched, is found.
fn reverse(search: &Search, secrets: &[String], said: &[u8]) {
    for (number, secret) in secrets.iter().enumerate().step_by(97) {
        for form in Form::ALL {
            let at = (number * 7919) % said.len();
            let mut planted = said[at.saturating_sub(4096)..at].to_vec();
            planted.extend(form.write(format!("{{\"token\":\"{secret}\"}}").as_bytes()));
            planted.extend_from_slice(&said[at..(at + 4096).min(said.len())]);
            let hits = search.bytes("planted", &planted);
            assert!(hits.iter().any(|hit| hit.is(number, form)), "{form:?} of {number}");
        }
    }
}

fn serve(jeton: &Jeton, start: &str) -> (Process, Value) {
    let data = jeton.text("data");
    let arguments = ["serve", "--json", "--data-dir", &data, "--http", "127.0.0.1:0", "--feed", "127.0.0.1:0"];
    Process::start(jeton, loud(jeton.command(&arguments)), &format!("serve-{start}"))
}

fn sidecar(jeton: &Jeton, feed: SocketAddr, name: &str) -> (Process, SocketAddr) {
    let (feed, token) = (format!("http://{feed}"), jeton.text(&format!("{name}.token")));
    let state = jeton.text(&format!("{name}.state"));
    let mut arguments = vec!["sidecar", "--json", "--feed", &feed, "--namespace", "acme", "--token-file", &token];
    arguments.extend(["--http", "127.0.0.1:0", "--id", name, "--drain", "0s", "--state-dir", &state]);
    let (process, said) = Process::start(jeton, loud(jeton.command(&arguments)), name);
    (process, said["http"].as_str().unwrap().parse().unwrap())
}

/// As talkative as can be.
fn loud(mut command: Command) -> Command {
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    command
}

/// A file of mode 0600.
pub(crate) fn private(path: &PathBuf, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path).unwrap();
    writeln!(file, "{text}").unwrap();
}

/// A process whose standard error is a log.
struct Process(Child);

impl Process {
    fn spawn(jeton: &Jeton, mut command: Command, name: &str) -> Self {
        let log = File::create(jeton.path(&format!("{name}.log"))).unwrap();
        Self(command.stderr(log).spawn().unwrap())
    }

    /// The same; returns once it has said where it is.
    fn start(jeton: &Jeton, mut command: Command, name: &str) -> (Self, Value) {
        command.stdout(Stdio::piped());
        let mut process = Self::spawn(jeton, command, name);
        let mut out = BufReader::new(process.0.stdout.take().unwrap());
        let mut said = String::new();
        loop {
            assert_ne!(out.read_line(&mut said).unwrap(), 0, "{name} did not start");
            if let Ok(said) = serde_json::from_str(&said) {
                return (process, said);
            }
        }
    }

    fn terminate(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks at the arguments and the environment of this test's processes all the time.
struct Watch {
    seen: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start() -> Self {
        let (seen, over) = (Arc::<Mutex<BTreeSet<_>>>::default(), Arc::new(AtomicBool::new(false)));
        let (sight, end) = (Arc::clone(&seen), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                        look(&sight, pid);
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { seen, over, thread: Some(thread) }
    }

    fn look_at(&self, pid: u32) {
        look(&self.seen, pid);
    }

    fn stop(&mut self) -> BTreeSet<Vec<u8>> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// Keeps what others may see of a process, but for the variable that is meant to hold a token. Of other people's processes
/// too: none of them has one of these secrets either.
fn look(seen: &Mutex<BTreeSet<Vec<u8>>>, pid: u32) {
    if pid == std::process::id() {
        return;
    }
    // A process that has gone meanwhile has nothing to show.
    let read = |what: &str| std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let environment = read("environ");
    let entries = environment.split(|byte| *byte == 0).filter(|entry| !entry.starts_with(b"JETON_TOKEN="));
    let environment = entries.collect::<Vec<_>>().join(&0);
    seen.lock().unwrap().extend([read("cmdline"), environment]);
}
