//! Explores a model and says what was found.
//!
//! A model is a `stateright::Model` whose `always` properties are the promises. It injects its fault itself, for the length of each
//! `next_state`, since the checker steps it on threads of its own.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug},
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jeton_types::fault::Fault;
use stateright::{Checker, HasDiscoveries, Model};

/// In which order states are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nearest first: the shortest way to what is broken.
    Breadth,
    /// Farthest first: needs the least memory, and finds what lies deep.
    Depth,
}

/// What an exploration found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The model.
    pub model: &'static str,
    /// What was left out.
    pub fault: Option<Fault>,
    /// States that differ.
    pub unique: usize,
    /// Steps taken.
    pub steps: usize,
    /// The longest way.
    pub depth: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// Each promise that was broken, and the way there.
    pub broken: BTreeMap<&'static str, Vec<String>>,
    /// What was to be seen on the way, and was not.
    pub unseen: Vec<&'static str>,
}

/// Explores all of a model, or until a promise is broken.
///
/// # Panics
/// If a thread of the checker did.
pub fn explore<M>(name: &'static str, fault: Option<Fault>, model: M, order: Order, seen: &Sightings) -> Outcome
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Clone + PartialEq + Hash + Send + Sync,
    M::Action: Debug + Clone + PartialEq + Send + Sync,
{
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let checker = model.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    match order {
        Order::Breadth => outcome(name, fault, checker.spawn_bfs().join(), began, seen),
        Order::Depth => outcome(name, fault, checker.spawn_dfs().join(), began, seen),
    }
}

fn outcome<M, C>(name: &'static str, fault: Option<Fault>, checker: C, began: Instant, seen: &Sightings) -> Outcome
where
    C: Checker<M>,
    M: Model,
    M::State: Debug + Clone + PartialEq + Hash,
    M::Action: Debug + Clone + PartialEq,
{
    let elapsed = began.elapsed();
    let broken = checker.discoveries().into_iter().map(|(property, path)| {
        let way = path.into_actions().iter().map(|action| checker.model().format_action(action)).collect();
        (property, way)
    });
    Outcome {
        model: name,
        fault,
        unique: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        elapsed,
        broken: broken.collect(),
        unseen: seen.unseen(),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = self.fault.map_or("-", Fault::name);
        let (unique, seconds) = (self.unique, self.elapsed.as_secs_f64());
        write!(f, "{:12} {fault:28} {unique:>9} states {seconds:>7.2} s", self.model)?;
        self.broken.iter().try_for_each(|(promise, way)| write!(f, "  {promise} broken after {} steps", way.len()))
    }
}

/// What has to happen somewhere in a model, lest its promises hold because nothing does. Shared by all threads; it is no part of a
/// state, so it makes no states.
#[derive(Debug, Clone)]
pub struct Sightings {
    names: &'static [&'static str],
    seen: Arc<AtomicU64>,
}

impl Sightings {
    /// Of these, in this order; 64 at most.
    #[must_use]
    pub fn new(names: &'static [&'static str]) -> Self {
        Self { names, seen: Arc::default() }
    }

    /// The one of this place has happened.
    pub fn saw(&self, place: usize) {
        let bit = 1 << place;
        // Almost always it is known already, and a look costs the other threads nothing.
        if self.seen.load(Ordering::Relaxed) & bit == 0 {
            self.seen.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// What has not happened.
    #[must_use]
    pub fn unseen(&self) -> Vec<&'static str> {
        let seen = self.seen.load(Ordering::Relaxed);
        self.names.iter().enumerate().filter(|(place, _)| seen >> place & 1 == 0).map(|(_, name)| *name).collect()
    }
}

/// One row of the table of mutants: a rule, and a model that shows what it is for.
pub type Row = (Fault, Explore);

/// A model, with a fault or none.
pub type Explore = fn(Option<Fault>) -> Outcome;

/// Injects each of these and demands that a promise is broken; prints a line for each.
///
/// # Errors
/// The names of those that nobody noticed.
pub fn kill_all(rows: &[Row]) -> Result<(), Vec<&'static str>> {
    let mut missed = Vec::new();
    for (fault, model) in rows {
        let outcome = model(Some(*fault));
        println!("{outcome}");
        if outcome.broken.is_empty() {
            missed.push(fault.name());
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(missed) }
}

/// Explores each model as the product is; prints a line for each and the sum. Answers how many states there were.
///
/// # Errors
/// What is wrong, with the way there.
pub fn hold_all(models: &[Explore]) -> Result<usize, String> {
    let mut all = 0;
    for model in models {
        let outcome = model(None);
        println!("{outcome}");
        all += outcome.unique;
        if let Some((promise, way)) = outcome.broken.first_key_value() {
            return Err(format!("{}: {promise} is broken by\n  {}", outcome.model, way.join("\n  ")));
        }
        if !outcome.unseen.is_empty() {
            return Err(format!("{}: never seen: {}", outcome.model, outcome.unseen.join(", ")));
        }
    }
    println!("{all} unique states, 0 violations");
    Ok(all)
}

#[cfg(test)]
mod tests {
    use jeton_types::fault::{inject, injected};
    use stateright::Property;

    use super::*;

    /// Counts to ten, and no further unless the rule is left out.
    struct Counter(Option<Fault>, Sightings);

    impl Model for Counter {
        type State = u8;
        type Action = u8;

        fn init_states(&self) -> Vec<u8> {
            vec![0]
        }

        fn actions(&self, _: &u8, actions: &mut Vec<u8>) {
            actions.extend([1, 2]);
        }

        fn next_state(&self, state: &u8, step: u8) -> Option<u8> {
            let _injected = inject(self.0);
            let next = state + step;
            if next == 10 {
                self.1.saw(0);
            }
            (next <= 10 || (next <= 20 && injected(Fault::NoDriftMargin))).then_some(next)
        }

        fn properties(&self) -> Vec<Property<Self>> {
            vec![Property::always("ten is the end", |_, state| *state <= 10)]
        }
    }

    fn counted(fault: Option<Fault>, order: Order) -> Outcome {
        let seen = Sightings::new(&["ten", "eleven"]);
        explore("counter", fault, Counter(fault, seen.clone()), order, &seen)
    }

    #[test]
    fn a_fault_is_found_on_the_threads_of_the_checker() {
        for order in [Order::Breadth, Order::Depth] {
            let whole = counted(None, order);
            assert_eq!((whole.unique, whole.broken.len()), (11, 0), "{whole}");
            assert_eq!(whole.unseen, ["eleven"]);
            let flawed = counted(Some(Fault::NoDriftMargin), order);
            assert!(flawed.broken.contains_key("ten is the end"), "{flawed}");
            assert!(counted(Some(Fault::LeaseFromReceive), order).broken.is_empty());
        }
    }
}
