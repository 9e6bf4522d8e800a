//! A power cut at any moment. A process plays a history over SQLite while strace writes down what it does to its files; from that a
//! folder is made for every moment at which the power may have gone, with any of what was not synced, and opened by the real store. What
//! it then holds must be what the model holds after just so many mutations, and no fewer than were acknowledged: all that can be read, to the
//! last byte, chains and all, so that nothing acknowledged is lost and nothing is half done.

mod disk;
mod trace;

use std::{
    collections::{HashSet, VecDeque},
    fs::OpenOptions,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use jeton_store::{Disk as ModelDisk, Memory, Sqlite, Store};
use jeton_testkit::{Dice, faults, report};
use jeton_types::{Clock, Entropy as _, Now, StartId};
use sha2::{Digest as _, Sha256};

use self::{
    disk::{Disk, Image, Kept},
    trace::Event,
};
use super::{
    All, Answer, Outcome,
    draw::{Roll, Seen, Step},
    prelude, together,
};
use crate::world::{CountedEntropy, ManualClock, Setup, Waiting, open_setup};

const FOLDER: &str = "JETON_STORE_POWER_FOLDER";
/// Long enough for the log to be copied into the database, and begun anew, a few times.
const ROLLS: usize = 800;
const SCRIPT: &str = "power";
const WHOLE: usize = 10_000;
const LIARS: usize = 5;

/// Which moments there are; the same in every process.
fn script() -> Vec<Vec<Roll>> {
    let entropy = CountedEntropy::new(SCRIPT);
    let rolls: Vec<Roll> = (0..ROLLS)
        .map(|_| {
            let mut bytes = [0; 24];
            entropy.fill(&mut bytes);
            Roll(bytes)
        })
        .collect();
    rolls.chunk_by(|_, next| next.joins()).map(<[Roll]>::to_vec).collect()
}

/// One that plays the script over some store.
struct Player<S> {
    store: Option<S>,
    clock: Arc<ManualClock>,
    seen: Seen,
    opened: u8,
}

impl<S: Store + Clone> Player<S> {
    fn new(open: &impl Fn(Setup) -> S) -> Self {
        let clock = ManualClock::new();
        let store = open(Setup::new(Arc::clone(&clock) as _, "process"));
        Self { store: Some(store), clock, seen: Seen::default(), opened: 0 }
    }

    fn store(&self) -> &S {
        self.store.as_ref().unwrap()
    }

    /// The steps of the next moments: those that were drawn, and after a new process its start.
    fn steps(&mut self, number: usize, rolls: &[Roll]) -> Vec<Vec<Step>> {
        self.seen.now(self.store().authority_time());
        let steps = if number == 0 { prelude() } else { together(&self.seen, rolls) };
        let opens = matches!(steps[..], [Step::Reopen(_)]);
        let mut moments = vec![steps];
        if opens {
            self.opened += 1;
            let start = StartId::from_bytes([self.opened, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            moments.push(vec![Step::Call(Box::new(super::Call::StartRecord(start)))]);
        }
        moments
    }

    /// What is no mutation is done; a mutation is in the line, and perhaps answered.
    fn begin(&mut self, step: Step, open: &impl Fn(Setup) -> S) -> Option<Waiting<Outcome>> {
        match step {
            Step::Call(call) => {
                let store = self.store().clone();
                return Some(Box::pin(async move { call.ask(&store).await }));
            }
            Step::Wait(span) => self.clock.advance(span),
            Step::SetBack(span) => self.clock.set_back(span),
            Step::Reopen(seed) => {
                self.store = None;
                self.store = Some(open(Setup::new(Arc::clone(&self.clock) as _, &format!("process {seed}"))));
            }
        }
        None
    }

    fn learn(&mut self, answer: &Outcome) {
        if let Ok(answer) = answer {
            self.seen.learn(answer);
        }
    }
}

/// The part of the process whose power goes.
fn victim(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let data = folder.join("data");
    let open = |setup| open_setup(&data, setup).unwrap();
    let mut marker = OpenOptions::new().create(true).append(true).open(folder.join("marker")).unwrap();
    runtime.block_on(async {
        let mut player = Player::<Sqlite>::new(&open);
        let mut told = 0;
        for (number, rolls) in script().iter().enumerate() {
            for steps in player.steps(number, rolls) {
                let mut asked: Vec<(Waiting<Outcome>, Poll<Outcome>)> = Vec::new();
                for step in steps {
                    if let Some(mut answer) = player.begin(step, &open) {
                        let first = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        asked.push((answer, first));
                    }
                }
                for (answer, first) in asked {
                    let answer = match first {
                        Poll::Ready(answer) => answer,
                        Poll::Pending => answer.await,
                    };
                    player.learn(&answer);
                }
                marker.write_all(format!("{told}\n").as_bytes()).unwrap();
                told += 1;
            }
        }
    });
}

/// What the model holds after each step, and at which step each moment was over.
#[derive(Default)]
struct Expected {
    states: Vec<(Now, [u8; 32])>,
    ends: Vec<usize>,
    done: usize,
}

async fn expected() -> Expected {
    let disk = ModelDisk::default();
    let open = |setup: Setup| Memory::open(&disk, setup.clock, setup.entropy);
    let mut player = Player::<Memory>::new(&open);
    let mut expected = Expected::default();
    let look = |clock: Arc<ManualClock>| {
        let now = clock.now();
        let frozen = open(Setup::new(Arc::new(Frozen(now)), "look"));
        async move { (now, digest(&frozen).await) }
    };
    expected.states.push(look(Arc::clone(&player.clock)).await);
    for (number, rolls) in script().iter().enumerate() {
        for steps in player.steps(number, rolls) {
            for step in steps {
                if let Some(answer) = player.begin(step, &open) {
                    let answer = answer.await;
                    expected.done +=
                        usize::from(matches!(&answer, Ok(answer) if !matches!(answer, Answer::Preview(_))));
                    player.learn(&answer);
                }
                expected.states.push(look(Arc::clone(&player.clock)).await);
            }
            expected.ends.push(expected.states.len() - 1);
        }
    }
    expected
}

/// A clock that stands still.
struct Frozen(Now);

impl Clock for Frozen {
    fn now(&self) -> Now {
        self.0
    }
}

/// All that can be read, in one hash.
async fn digest<S: Store>(store: &S) -> [u8; 32] {
    let all = All::read(store, WHOLE).await;
    Sha256::digest(format!("{all:?}")).into()
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_acknowledged() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return victim(Path::new(&folder));
    }
    let (mut dice, dir) = (Dice::new("power"), tempfile::tempdir().unwrap());
    let root = dir.path().canonicalize().unwrap();
    let (data, log, marker) = (root.join("data"), root.join("log"), root.join("marker"));
    std::fs::create_dir(&data).unwrap();
    let status = trace::traced(&std::env::current_exe().unwrap(), &log)
        .args(["--exact", "compared::power::a_power_cut_at_any_moment_loses_nothing_acknowledged"])
        .env(FOLDER, &root)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "strace is needed: {status:?}");
    let events = trace::read(&log, &data, &marker);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let expected = runtime.block_on(expected());
    let told = events.iter().filter(|event| matches!(event, Event::Told(_))).count();
    assert_eq!(told, expected.ends.len(), "not every moment was told");

    // Each moment three times: with nothing, all, and some of what was not synced.
    let cuts: HashSet<usize> = faults(0..3 * events.len()).collect();
    let (mut disk, mut acknowledged, mut seen) = (Disk::default(), None, VecDeque::<(Option<usize>, Image)>::new());
    let (mut prefixes, mut under_way) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        disk.apply(event);
        if let Event::Told(moment) = event {
            acknowledged = Some(*moment);
        }
        for (number, kind) in ["nothing", "all", "some"].iter().enumerate() {
            if !cuts.contains(&(3 * at + number)) {
                continue;
            }
            let image = disk.image(match number {
                0 => Kept::Nothing,
                1 => Kept::All,
                _ => Kept::Some(&mut dice),
            });
            // The same again says nothing new.
            if seen.iter().any(|(told, other)| *told == acknowledged && *other == image) {
                continue;
            }
            let folder = root.join(format!("cut-{at}-{kind}"));
            std::fs::create_dir(&folder).unwrap();
            disk::write(&image, &folder);
            let found = runtime.block_on(reopened(&folder, acknowledged, &expected));
            match found {
                Ok(more) => under_way += usize::from(more),
                Err(wrong) => {
                    let kept = dir.keep();
                    let of = events.len();
                    panic!(
                        "power cut after event {at} of {of}, {kind} of the rest kept, moment {acknowledged:?} told: {wrong}; see {}",
                        kept.display()
                    );
                }
            }
            prefixes += 1;
            std::fs::remove_dir_all(folder).unwrap();
            seen.truncate(5);
            seen.push_front((acknowledged, image));
        }
    }
    let found = liars_found(&root, &events, &runtime, &expected);
    assert!(found > 0, "a disk that lies about its syncs is not found out: nothing would be");
    // A log that is copied into the database, and begun anew over what it held, is the hard part.
    let begun = |event: &&Event| matches!(event, Event::Write(name, 0, _) if name == "jeton.db-wal");
    let begun = events.iter().filter(begun).count();
    assert!(begun > 2, "the log was begun {begun} times: the script is too short");
    let syncs = events.iter().filter(|event| matches!(event, Event::Sync(_))).count();
    report(&format!(
        "power: {prefixes} prefixes of {} changes of files ({syncs} syncs, the log begun {begun} times) by {} mutations, {under_way} of them with what was under way: 0 acknowledged lost, 0 half done, integrity and chains good",
        events.len(),
        expected.done
    ));
}

/// On a disk that says of the log's syncs that they are done and does nothing, the power goes at a few moments: how many of them are found
/// out. Just after the log was copied into the database it makes no difference.
fn liars_found(root: &Path, events: &[Event], runtime: &tokio::runtime::Runtime, expected: &Expected) -> usize {
    let mut found = 0;
    for part in 1..LIARS {
        let (mut liar, mut acknowledged) = (Disk::default(), None);
        for event in &events[..events.len() * part / LIARS] {
            match event {
                Event::Sync(name) if name == "jeton.db-wal" => {}
                other => liar.apply(other),
            }
            if let Event::Told(moment) = event {
                acknowledged = Some(*moment);
            }
        }
        let folder = root.join(format!("liar-{part}"));
        std::fs::create_dir(&folder).unwrap();
        disk::write(&liar.image(Kept::Nothing), &folder);
        let opened = AssertUnwindSafe(|| runtime.block_on(reopened(&folder, acknowledged, expected)));
        // What cannot even be read panics.
        found += usize::from(!matches!(catch_unwind(opened), Ok(Ok(_))));
    }
    found
}

/// Opens it and compares it with every state that it may be in. Whether it has more than was acknowledged.
async fn reopened(folder: &Path, acknowledged: Option<usize>, expected: &Expected) -> Result<bool, String> {
    let from = acknowledged.map_or(0, |moment| expected.ends[moment]);
    let to = expected.ends.get(acknowledged.map_or(0, |moment| moment + 1)).copied().unwrap_or(from);
    let clock = Arc::new(Frozen(expected.states[from].0));
    let store = open_setup(folder, Setup::new(clock, "again")).map_err(|error| format!("it does not open: {error}"))?;
    let found = digest(&store).await;
    drop(store);
    let raw = rusqlite::Connection::open(folder.join("jeton.db")).map_err(|error| error.to_string())?;
    let integrity: Result<String, _> = raw.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    if integrity.as_deref() != Ok("ok") {
        return Err(format!("{integrity:?}"));
    }
    let at = (from..=to).find(|at| expected.states[*at].1 == found);
    match at {
        Some(at) => Ok(expected.states[at].1 != expected.states[from].1),
        None => {
            let earlier = (0..from).rev().find(|at| expected.states[*at].1 == found);
            Err(earlier.map_or_else(
                || "what it holds was never so".to_owned(),
                |at| format!("it holds what was after step {at}, and step {from} was acknowledged"),
            ))
        }
    }
}
