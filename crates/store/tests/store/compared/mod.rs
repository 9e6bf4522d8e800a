//! The same random histories over every backend: each answer, and at the end all that can be read, must be the same to the
//! last byte. Clocks and entropy are equal, so ids, secrets, records and both chains are too.

mod all;
mod call;
mod draw;

use std::{collections::BTreeMap, io::Write as _, sync::Arc};

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
use crate::world::{Backend, World, issue_new, namespace_new, scopes};

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

    async fn take(self, step: Step) -> (Self, Option<Result<Answer, StoreError>>) {
        let Self { world, log } = self;
        match step {
            Step::Call(call) => {
                let answer = call.ask(&world.store).await;
                (Self { world, log }, Some(answer))
            }
            Step::Wait(span) => {
                world.clock.advance(span);
                (Self { world, log }, None)
            }
            Step::SetBack(span) => {
                world.clock.set_back(span);
                (Self { world, log }, None)
            }
            Step::Reopen(seed) => {
                let world = world.reopened(&format!("process {seed}"));
                let log = world.store.commit_log().subscribe();
                (Self { world, log }, None)
            }
        }
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
    let prelude = prelude();
    let mut trace = Vec::new();
    for number in 0..prelude.len() + rolls.len() {
        let now = sqlite.world.store.authority_time();
        prop_assert_eq!(now, memory.world.store.authority_time(), "time before step {} of {:#?}", number, trace);
        seen.now(now);
        let step = prelude.get(number).cloned().unwrap_or_else(|| seen.step(&rolls[number - prelude.len()]));
        trace.push(format!("{step:?}"));
        let (one, two);
        (sqlite, one) = sqlite.take(step.clone()).await;
        (memory, two) = memory.take(step.clone()).await;
        prop_assert_eq!(plain(&one), plain(&two), "step {} of {:#?}", number, trace);
        prop_assert_eq!(sqlite.told(), memory.told(), "commits of step {} of {:#?}", number, trace);
        if let (Step::Call(call), Some(answer)) = (&step, &one) {
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

/// An answer without the words of a store that cannot do it now, which are its own.
fn plain(answer: &Option<Result<Answer, StoreError>>) -> Option<Result<Answer, StoreError>> {
    match answer {
        Some(Err(StoreError::Unavailable(_))) => Some(Err(StoreError::Unavailable(String::new()))),
        other => other.clone(),
    }
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
