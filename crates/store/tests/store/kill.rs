//! What is left after a kill, and after a disk that fails. The victim is this test binary once more, in a process of its
//! own.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use jeton_store::{
    Health, Sqlite, Store, StoreError,
    model::{Caller, RevokeNew, Selector},
};
use jeton_types::{BootTime, Clock, Digest, Now, Revision, StartId, TokenId, UnixTime, token};
use tokio::task::JoinSet;

use crate::world::{check_chain, issue_new, named, namespace_new, open, open_with, span};

const FOLDER: &str = "JETON_STORE_VICTIM_FOLDER";
const ROUNDS: u8 = 6;
const TASKS: usize = 8;

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Now {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let real = UnixTime::ZERO.plus(real);
        Now { boot: BootTime::from_nanos(real.as_micros() * 1_000), real }
    }
}

/// The victim's part: not a test of its own.
#[test]
#[ignore = "run in a process of its own by the tests below"]
fn victim() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let seed = format!("victim {}", std::process::id());
        let store = open_with(&folder, &seed, Arc::new(WallClock)).unwrap();
        let number = std::process::id();
        let mut start = [0; 16];
        start[..4].copy_from_slice(&number.to_be_bytes());
        store.start_record(StartId::from_bytes(start)).await.unwrap();
        match store.namespace_create(Caller::System, namespace_new("acme", "acme_live")).await {
            Ok(_) | Err(StoreError::NameTaken) => {}
            Err(other) => panic!("{other}"),
        }
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(work(store.clone(), number, task));
        }
        tasks.join_all().await;
        // Only a store that stopped ends the tasks.
        let stopped = matches!(&*store.health().borrow(), Health::Stopped(_));
        assert!(stopped, "the tasks ended, but the store had not stopped");
        say("stopped", &"-");
        std::process::exit(4);
    });
}

async fn work(store: Sqlite, process: u32, task: usize) {
    for turn in 0.. {
        let name = format!("acme/c{process}-{task}-{turn}");
        let outcome = match store.credential_issue(Caller::System, issue_new(&name)).await {
            Ok(issued) => {
                say("issued", issued.secret.expose());
                after_issue(&store, &name, issued.token.id, turn).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {}
            Err(StoreError::Unknown) => say("unknown", &"-"),
            Err(StoreError::Stopped(_)) => return,
            Err(other) => panic!("{other}"),
        }
    }
}

async fn after_issue(store: &Sqlite, name: &str, token: TokenId, turn: usize) -> Result<(), StoreError> {
    match turn % 3 {
        0 => {
            let selector = Selector::token(token);
            store.revocation_create(Caller::System, RevokeNew { namespace: None, selector, reason: None }).await?;
            say("revoked", &token);
        }
        1 => {
            let rotated = store.credential_rotate(Caller::System, named(name), span("1h")).await?;
            say("issued", rotated.secret.expose());
        }
        _ => {}
    }
    Ok(())
}

/// One line, in one write: the acknowledgement.
fn say(what: &str, value: &impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{what} {value}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[derive(Default)]
struct Acknowledged {
    issued: HashSet<String>,
    revoked: HashSet<String>,
    unknown: usize,
    stopped: bool,
}

impl Acknowledged {
    /// Takes lines in until the victim is gone, and calls `each` with how many there were.
    fn read(&mut self, child: &mut Child, mut each: impl FnMut(usize, &mut Child)) {
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mut count = 0;
        while out.read_line(&mut line).unwrap() > 0 {
            // What was cut off in the middle was not said.
            if let Some(said) = line.strip_suffix('\n') {
                let fresh = match said.split_once('@').and_then(|(_, said)| said.split_once(' ')) {
                    Some(("issued", secret)) => self.issued.insert(secret.to_owned()),
                    Some(("revoked", token)) => self.revoked.insert(token.to_owned()),
                    Some(("unknown", _)) => {
                        self.unknown += 1;
                        true
                    }
                    Some(("stopped", _)) => {
                        self.stopped = true;
                        true
                    }
                    _ => {
                        line.clear();
                        continue;
                    }
                };
                assert!(fresh, "acknowledged twice: {said}");
                count += 1;
                each(count, child);
            }
            line.clear();
        }
    }

    /// Everything acknowledged is there, and nothing is doubled.
    async fn check(&self, store: &Sqlite) {
        let mut digests: HashSet<Digest> = HashSet::new();
        for secret in &self.issued {
            let parsed = token::parse(secret.as_bytes()).unwrap();
            let (found, _) =
                store.token_by_digest(parsed.digest).await.unwrap().expect("an acknowledged token is lost");
            assert_eq!(found.birth, parsed.birth);
            assert!(digests.insert(found.digest));
        }
        for token in &self.revoked {
            let token = store.token(token.parse().unwrap()).await.unwrap().unwrap();
            assert!(token.ended.is_some(), "an acknowledged revocation is lost: {token:?}");
        }
        let head = store.head().await.unwrap().revision;
        let records = store.records(Revision::ZERO, head, usize::MAX >> 1).await.unwrap();
        check_chain(&records);
    }
}

fn victim_command(program: &str, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).args(["--exact", "kill::victim", "--ignored", "--nocapture"]);
    command.env(FOLDER, folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let mut acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let mut victim = victim_command(exe.to_str().unwrap(), &[], dir.path()).spawn().unwrap();
        let last_words = 20 + 37 * usize::from(round);
        acknowledged.read(&mut victim, |count, victim| {
            if count == last_words {
                victim.kill().unwrap();
            }
        });
        let ended = victim.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{ended}");
        let store = open(dir.path(), &format!("round {round}")).unwrap();
        acknowledged.check(&store).await;
    }
    assert!(acknowledged.issued.len() > 100 && !acknowledged.revoked.is_empty());
}

#[tokio::test]
async fn a_write_that_fails_ends_the_writer_and_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    // A file may grow to a megabyte; what is written beyond fails with an error that is not "disk full".
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
    let arguments = ["-c", script, exe.to_str().unwrap()];
    let mut victim = victim_command("sh", &arguments, dir.path()).spawn().unwrap();
    let mut acknowledged = Acknowledged::default();
    acknowledged.read(&mut victim, |_, _| ());
    assert_eq!(victim.wait().unwrap().code(), Some(4));
    assert!(acknowledged.stopped && acknowledged.unknown > 0, "what was under way is answered as unknown");
    assert!(!acknowledged.issued.is_empty());
    let store = open(dir.path(), "after").unwrap();
    acknowledged.check(&store).await;
}
