//! A database that somebody else holds, that cannot be written, or that is broken: at the start, and under way.

use std::{
    fs::OpenOptions,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use jeton_testkit::{Authority, Jeton, SmallDisk, Strace, Web, in_own_namespace};
use serde_json::json;

const PAGE_BYTES: u64 = 4_096;

/// Another program with the database in its hands, until it is dropped or let go.
struct Holder(Child);

impl Holder {
    fn new(database: &Path, sql: &str) -> Self {
        const SCRIPT: &str = "
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2].split(';'):
    held.execute(statement).fetchall()
print('held', flush=True)
sys.stdin.read()
";
        let python = std::env::var("JETON_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).arg(database).arg(sql).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn issue(authority: &Authority, name: &str) -> Option<u16> {
    let body = json!({ "name": name });
    let path = "/v1/namespaces/acme/credentials";
    let answer = Web::default().post(authority.http, path, Some(&authority.root_token()), &body).await?;
    Some(answer.status)
}

fn with_acme(jeton: &Jeton) -> Authority {
    let authority = jeton.serve("data");
    let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme"]).expect(0);
    authority
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_holds_it() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let database = jeton.path("data").join("jeton.db");
    assert_eq!(with_acme(&jeton).stop().code, 0);
    for sql in ["BEGIN IMMEDIATE", "PRAGMA locking_mode=EXCLUSIVE;BEGIN EXCLUSIVE;PRAGMA user_version"] {
        let _holder = Holder::new(&database, sql);
        let ended = jeton.serve_below(&[], "data", &[]).err().unwrap();
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains("another program holds jeton.db"), "{}", ended.err);
    }

    let authority = jeton.serve("data");
    let holder = Holder::new(&database, "BEGIN IMMEDIATE");
    assert_eq!(issue(&authority, "held").await, Some(503));
    let listed = Web::default().get(authority.http, "/v1/namespaces/acme", Some(&authority.root_token())).await;
    assert_eq!(listed.unwrap().status, 200, "it is read all the same");
    drop(holder);
    assert_eq!(issue(&authority, "held").await, Some(201), "and goes on by itself");

    // The log in memory is not the one on the disk any more.
    let writing = "UPDATE counter SET revision = revision + 1";
    drop(Holder::new(&database, writing));
    assert_eq!(issue(&authority, "after").await, Some(503));
    assert_eq!(authority.wait().code, 4);
    let ended = jeton.serve_below(&[], "data", &[]).err().unwrap();
    assert_eq!(ended.code, 4, "{}", ended.err);
    assert!(ended.err.contains("put back a backup"), "{}", ended.err);
}

#[test]
fn a_file_system_that_is_read_only() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let disk = match SmallDisk::mount(&jeton.path("disk"), 64) {
        Ok(disk) => disk,
        Err(refused) => {
            assert!(in_own_namespace("database::a_file_system_that_is_read_only", &refused));
            return;
        }
    };
    let serve = || jeton.serve_below(&[], "disk/data", &["--ballast-mib", "4"]);
    let authority = serve().unwrap_or_else(|ended| panic!("{ended:?}"));
    assert_eq!(authority.stop().code, 0);
    disk.remount("ro");
    let ended = serve().err().unwrap();
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("not writable"), "{}", ended.err);
    disk.remount("rw");
    assert_eq!(serve().unwrap_or_else(|ended| panic!("{ended:?}")).stop().code, 0);
}

/// As a kernel does it to a disk that fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_becomes_read_only() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    assert_eq!(with_acme(&jeton).stop().code, 0);
    let log = jeton.path("data").join("jeton.db-wal").to_str().unwrap().to_owned();
    let trace = Strace::failing(jeton.path("strace.log"), "pwrite64,write", "EROFS", 40, &[log]);
    let authority = jeton.serve_below(&trace.arguments(), "data", &[]).unwrap_or_else(|ended| panic!("{ended:?}"));
    let mut acknowledged = 0;
    while issue(&authority, &format!("c-{acknowledged}")).await == Some(201) {
        acknowledged += 1;
    }
    assert_eq!(authority.wait().code, 4);
    trace.finish();
    assert_eq!(trace.injected().len(), 1);
    let authority = jeton.serve("data");
    for number in 0..acknowledged {
        assert_eq!(issue(&authority, &format!("c-{number}")).await, Some(409), "it is there");
    }
    let _ = jeton.as_root(&authority, &["audit", "verify"]).expect(0);
    assert_eq!(authority.stop().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_broken() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let database = jeton.path("data").join("jeton.db");
    let authority = Arc::new(with_acme(&jeton));
    // Too much for it to be held in the writer's memory.
    let issuers: Vec<_> = (0..24)
        .map(|issuer| {
            let authority = Arc::clone(&authority);
            tokio::spawn(async move {
                for number in 0..125 {
                    assert_eq!(issue(&authority, &format!("c-{issuer}-{number}")).await, Some(201));
                }
            })
        })
        .collect();
    for issuer in issuers {
        issuer.await.unwrap();
    }
    assert_eq!(Arc::into_inner(authority).unwrap().stop().code, 0);
    let whole = std::fs::read(&database).unwrap();
    assert!(whole.len() > 2_400_000, "{} bytes", whole.len());

    let authority = jeton.serve("data");
    garble(&database);
    let mut number = 0;
    while let Some(status @ (201 | 500)) = issue(&authority, &format!("late-{number}")).await {
        number += 1;
        assert!(number < 500, "it goes on with broken pages: {status}");
    }
    assert_eq!(authority.wait().code, 4);
    let ended = jeton.serve_below(&[], "data", &[]).err().unwrap();
    assert_eq!(ended.code, 4, "{}", ended.err);
    assert!(ended.err.contains("corrupt") && ended.err.contains("put back a backup"), "{}", ended.err);

    for rest in ["jeton.db-wal", "jeton.db-shm"] {
        let _ = std::fs::remove_file(jeton.path("data").join(rest));
    }
    std::fs::write(&database, whole).unwrap();
    let authority = jeton.serve("data");
    assert_eq!(issue(&authority, "again").await, Some(201));
    assert_eq!(authority.stop().code, 0);
}

/// All pages but the first, which says that this is a database.
fn garble(database: &Path) {
    let mut file = OpenOptions::new().read(true).write(true).open(database).unwrap();
    let pages = file.metadata().unwrap().len() / PAGE_BYTES;
    let mut bytes = vec![0; usize::try_from(PAGE_BYTES).unwrap()];
    for page in 1..pages {
        file.seek(SeekFrom::Start(page * PAGE_BYTES)).unwrap();
        file.read_exact(&mut bytes).unwrap();
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        file.seek(SeekFrom::Start(page * PAGE_BYTES)).unwrap();
        file.write_all(&bytes).unwrap();
    }
}
