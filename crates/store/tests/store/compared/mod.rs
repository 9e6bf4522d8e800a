//! The same random histories over every backend: each answer, and at the end all that can be read, must be the same to the
//! last byte. Clocks and entropy are equal, so ids, secrets, records and both chains are too.

mod all;
mod call;
mod draw;
mod power;

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use jeton_store::{Committed, Memory, Sqlite, Store, StoreError, model::Caller};
use jeton_types::StartId;
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tokio::sync::mpsc::UnboundedReceiver;

use self::{
    all::All,
    call::{Answer, Call},
    draw::{Roll, Seen, Step},
};
use crate::world::{Backend, Waiting, World, issue_new, namespace_new, scopes};

const HISTORIES: u32 = 25;
const STEPS_MAX: usize = 150;
/// Sizes of pages; the last one holds everything.
const PAGES: [usize; 4] = [1, 2, 7, 10_000];

/// How often each method was answered, and each refusal was given.
#[derive(Default)]
struct Tally {
    histories: usize,
    calls: usize,
    done: BTreeMap<&'static str, usize>,
    refused: BTreeMap<String, usize>,
}

/// What a call is answered.
type Outcome = Result<Answer, StoreError>;

/// One backend's part of a history.
struct Side<B: Backend> {
    world: World<B>,
    log: UnboundedReceiver<Arc<Committed>>,
}

impl<B: Backend> Side<B> {
    fn new() -> Self {
        let world = World::<B>::unstarted();
        let log = world.store.commit_log().subscribe();
        Self { world, log }
    }

    /// Takes steps that are of one moment: each is asked for before any of them is waited for.
    async fn take(mut self, steps: Vec<Step>) -> (Self, Vec<Outcome>) {
        let mut asked: Vec<(Waiting<Outcome>, Poll<Outcome>)> = Vec::new();
        for step in steps {
            match step {
                Step::Call(call) => {
                    let store = self.world.store.clone();
                    let mut answer: Waiting<Outcome> = Box::pin(async move { call.ask(&store).await });
                    // From here on it is in the line, and its answer may be there.
                    let first = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    asked.push((answer, first));
                }
                Step::Wait(span) => self.world.clock.advance(span),
                Step::SetBack(span) => self.world.clock.set_back(span),
                Step::Reopen(seed) => {
                    let world = self.world.reopened(&format!("process {seed}"));
                    let log = world.store.commit_log().subscribe();
                    self = Self { world, log };
                }
            }
        }
        let mut answers = Vec::new();
        for (answer, first) in asked {
            answers.push(match first {
                Poll::Ready(answer) => answer,
                Poll::Pending => answer.await,
            });
        }
        (self, answers)
    }

    fn told(&mut self) -> Vec<Arc<Committed>> {
        std::iter::from_fn(|| self.log.try_recv().ok()).collect()
    }
}

/// What every history begins with.
fn prelude() -> Vec<Step> {
    let issue = |name: &str, role: &str| {
        let new = jeton_store::model::IssueNew { scopes: scopes(&[role]), ..issue_new(&format!("jeton/{name}")) };
        Step::Call(Box::new(Call::CredentialIssue(Caller::System, new, None)))
    };
    vec![
        Step::Call(Box::new(Call::StartRecord(StartId::from_bytes([200; 16])))),
        Step::Call(Box::new(Call::NamespaceCreate(Caller::System, namespace_new("acme", "acme_live"), None))),
        Step::Call(Box::new(Call::NamespaceCreate(Caller::System, namespace_new("other", "other"), None))),
        issue("root-like", "admin@*"),
        issue("admin", "admin@acme"),
        issue("issuer", "issuer@acme"),
        issue("revoker", "revoker@acme"),
    ]
}

async fn play(rolls: &[Roll], tally: &mut Tally) -> Result<(), TestCaseError> {
    let (mut sqlite, mut memory) = (Side::<Sqlite>::new(), Side::<Memory>::new());
    let mut seen = Seen::default();
    let mut trace = Vec::new();
    let mut moments: Vec<&[Roll]> = vec![&[]];
    moments.extend(rolls.chunk_by(|_, next| next.joins()));
    for (number, rolls) in moments.into_iter().enumerate() {
        let now = sqlite.world.store.authority_time();
        prop_assert_eq!(now, memory.world.store.authority_time(), "time before moment {} of {:#?}", number, trace);
        seen.now(now);
        let steps = if number == 0 { prelude() } else { together(&seen, rolls) };
        trace.push(format!("{steps:?}"));
        let (one, two);
        (sqlite, one) = sqlite.take(steps.clone()).await;
        (memory, two) = memory.take(steps.clone()).await;
        prop_assert_eq!(plain(&one), plain(&two), "moment {} of {:#?}", number, trace);
        prop_assert_eq!(sqlite.told(), memory.told(), "commits of moment {} of {:#?}", number, trace);
        let calls = steps.iter().filter_map(|step| if let Step::Call(call) = step { Some(call) } else { None });
        for (call, answer) in calls.zip(&one) {
            tally.calls += 1;
            match answer {
                Ok(answer) => {
                    *tally.done.entry(call.name()).or_default() += 1;
                    seen.learn(answer);
                }
                Err(error) => *tally.refused.entry(kind(error)).or_default() += 1,
            }
        }
    }
    for page in PAGES {
        let one = All::read(&sqlite.world.store, page).await;
        prop_assert_eq!(&one, &All::read(&memory.world.store, page).await, "after {:#?}", trace);
        if let Some(whole) = PAGES.last().filter(|whole| **whole != page) {
            prop_assert_eq!(one, All::read(&sqlite.world.store, *whole).await, "pages of {} after {:#?}", page, trace);
        }
    }
    tally.histories += 1;
    Ok(())
}

/// What is done in one moment: mutations in the order of the line, or one step of another kind.
fn together(seen: &Seen, rolls: &[Roll]) -> Vec<Step> {
    let mut steps: Vec<Step> = rolls.iter().map(|roll| seen.step(roll)).collect();
    // A preview opens its own view, whenever that is.
    let in_line = |step: &Step| matches!(step, Step::Call(call) if !matches!(**call, Call::RevocationPreview(..)));
    if steps.iter().all(in_line) {
        return steps;
    }
    steps.truncate(1);
    steps
}

/// Answers without the words of a store that cannot do it now, which are its own.
fn plain(answers: &[Outcome]) -> Vec<Outcome> {
    let plain = |answer: &Outcome| match answer {
        Err(StoreError::Unavailable(_)) => Err(StoreError::Unavailable(String::new())),
        other => other.clone(),
    };
    answers.iter().map(plain).collect()
}

/// The name of an error, with what was not found.
fn kind(error: &StoreError) -> String {
    let text = format!("{error:?}");
    let end = if matches!(error, StoreError::NotFound(_)) { None } else { text.find(['(', ' ', '{']) };
    text[..end.unwrap_or(text.len())].to_owned()
}

/// Every refusal that a caller can bring about.
const REFUSALS: [&str; 18] = [
    "EtagMismatch",
    "Forbidden",
    "KeyReused",
    "NameTaken",
    "NotFound(\"credential\")",
    "NotFound(\"namespace\")",
    "NotFound(\"revocation\")",
    "NotFound(\"session\")",
    "NotFound(\"token\")",
    "NothingMatched",
    "PrefixTaken",
    "Refused",
    "Replayed",
    "RootFile",
    "RotationInProgress",
    "Unauthenticated",
    "Unavailable",
    "UnknownRole",
];

fn run(rng: Option<TestRng>, tally: &mut Tally) {
    let config = Config { cases: HISTORIES, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let mut runner = match rng {
        Some(rng) => TestRunner::new_with_rng(config, rng),
        None => TestRunner::new(config),
    };
    let rolls = proptest::collection::vec(any::<[u8; 24]>().prop_map(Roll), 1..STEPS_MAX);
    let tally = std::cell::RefCell::new(tally);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let outcome = runner.run(&rolls, |rolls| runtime.block_on(play(&rolls, &mut tally.borrow_mut())));
    if let Err(failed) = outcome {
        panic!("{failed}");
    }
}

#[test]
fn the_same_histories_end_the_same() {
    let mut tally = Tally::default();
    // Always the same, so that what they reach is known.
    run(Some(TestRng::from_seed(RngAlgorithm::ChaCha, &[29; 32])), &mut tally);
    let missing: Vec<_> = Call::NAMES.iter().filter(|name| !tally.done.contains_key(*name)).collect();
    assert!(missing.is_empty(), "never done: {missing:?}");
    let missing: Vec<_> = REFUSALS.iter().filter(|name| !tally.refused.contains_key(**name)).collect();
    assert!(missing.is_empty(), "never refused: {missing:?}, only {:?}", tally.refused);
    // Always others.
    run(None, &mut tally);
    let refused: usize = tally.refused.values().sum();
    let cases: usize = crate::CASES.iter().map(|cases| cases.len()).sum();
    // Past the test harness, which keeps what the macros print.
    let _ = writeln!(
        std::io::stderr().lock(),
        "conformance: {cases} cases over 2 backends, and {} random histories of {} mutations, {refused} of them refused",
        tally.histories,
        tally.calls
    );
}
