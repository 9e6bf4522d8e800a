//! Writes the history down while it happens.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    time::{Duration, Instant},
};

use jeton_testkit::Dice;
use serde_json::Value;

use crate::{
    history::{Dark, History, NEVER, Seen, Token, Us},
    load::{Journal, Step},
};

/// What is looked at most: that many of the newest.
const NEW: usize = 200;
/// Receipts that are waited for at once; of more, nobody waits.
const WAITS_MAX: usize = 64;

pub(crate) struct Recorder {
    began: Instant,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    history: History,
    secrets: Vec<String>,
    by_secret: HashMap<String, usize>,
    /// When what was asked for the first time.
    asked: HashMap<String, Us>,
    answered: HashSet<String>,
    /// Tokens that were asked to be switched on again.
    on_again: HashSet<usize>,
    /// Tokens that nobody may accept any more, in the order in which that was told.
    barred: Vec<usize>,
    waits: Vec<Receipt>,
    done: usize,
    receipts: usize,
}

/// One that is waited for.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) id: String,
    step: Step,
    of: Vec<usize>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), book: Mutex::default() }
    }

    pub(crate) fn now(&self) -> Us {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    /// How many mutations were acknowledged.
    pub(crate) fn done(&self) -> usize {
        self.book.lock().unwrap().done
    }

    /// How many receipts were told to be complete.
    pub(crate) fn receipts(&self) -> usize {
        self.book.lock().unwrap().receipts
    }

    /// A token to ask for: a new one, one that has ended, or any.
    pub(crate) fn pick(&self, dice: &mut Dice) -> Option<(usize, String)> {
        let book = self.book.lock().unwrap();
        let newest = |of: usize| of.saturating_sub(NEW);
        let all = book.secrets.len();
        if all == 0 {
            return None;
        }
        let token = match dice.below(4) {
            0 | 1 => newest(all) + dice.below(all - newest(all)),
            2 if !book.barred.is_empty() => {
                let from = newest(book.barred.len());
                book.barred[from + dice.below(book.barred.len() - from)]
            }
            _ => dice.below(all),
        };
        Some((token, book.secrets[token].clone()))
    }

    /// Every so manyeth token, with its secret, and whether it may be refused.
    pub(crate) fn sample(&self, every: usize) -> Vec<(usize, String, bool)> {
        let book = self.book.lock().unwrap();
        let tokens = book.secrets.iter().enumerate().step_by(every.max(1));
        tokens.map(|(at, secret)| (at, secret.clone(), book.history.tokens[at].refusable.is_some())).collect()
    }

    pub(crate) fn dark(&self, dark: Dark) {
        self.book.lock().unwrap().history.dark.push(dark);
    }

    /// Receipts to ask for.
    pub(crate) fn waits(&self) -> Vec<Receipt> {
        self.book.lock().unwrap().waits.clone()
    }

    /// It was told to be complete.
    pub(crate) fn complete(&self, receipt: &Receipt) {
        let now = self.now();
        let mut book = self.book.lock().unwrap();
        book.waits.retain(|other| other.id != receipt.id);
        book.bar(receipt.step, &receipt.of, now);
    }

    /// What was written, with what was seen beside it.
    pub(crate) fn close(&self, seen: Vec<Seen>, listed: Vec<(String, bool)>) -> History {
        let mut history = std::mem::take(&mut self.book.lock().unwrap().history);
        (history.seen, history.listed) = (seen, listed);
        history
    }
}

impl Book {
    fn bar(&mut self, step: Step, of: &[usize], now: Us) {
        self.receipts += 1;
        for at in of {
            if step != Step::Disable || !self.on_again.contains(at) {
                self.history.tokens[*at].barred.push((now, NEVER));
                self.barred.push(*at);
            }
        }
    }
}

impl Journal for Recorder {
    fn asks(&self, key: &str, step: Step, of: &[&str]) {
        let now = self.now();
        let mut book = self.book.lock().unwrap();
        if book.asked.contains_key(key) {
            return;
        }
        book.asked.insert(key.to_owned(), now);
        let ends = step.ends() && step != Step::Narrow;
        for secret in of {
            let at = book.by_secret[*secret];
            let token = &mut book.history.tokens[at];
            if ends {
                token.refusable.get_or_insert(now);
            }
            if step == Step::Enable {
                for (_, until) in &mut token.barred {
                    *until = (*until).min(now);
                }
                book.on_again.insert(at);
            }
        }
    }

    fn told(&self, key: &str, step: Step, of: &[&str], view: &Value) {
        let now = self.now();
        let mut book = self.book.lock().unwrap();
        if let (Some(id), Some(secret)) = (view["token"]["id"].as_str(), view["token"]["secret"].as_str()) {
            book.history.told.push((key.to_owned(), id.to_owned()));
            if !book.by_secret.contains_key(secret) {
                let at = book.secrets.len();
                book.by_secret.insert(secret.to_owned(), at);
                book.secrets.push(secret.to_owned());
                let asked = book.asked[key];
                book.history.tokens.push(Token {
                    id: id.to_owned(),
                    asked,
                    refusable: None,
                    ended: false,
                    barred: Vec::new(),
                    expires: None,
                });
            }
        }
        if !book.answered.insert(key.to_owned()) {
            // A replay is no other mutation.
            return;
        }
        book.done += 1;
        let of: Vec<usize> = of.iter().map(|secret| book.by_secret[*secret]).collect();
        if !step.ends() || of.is_empty() {
            return;
        }
        if step != Step::Disable {
            for at in &of {
                book.history.tokens[*at].ended = true;
            }
        }
        let revocation = if view["revocation"].is_null() { view } else { &view["revocation"] };
        let Some(id) = revocation["id"].as_str() else { return };
        if revocation["receipt"]["state"] == "complete" {
            book.bar(step, &of, now);
        } else if book.waits.len() < WAITS_MAX {
            book.waits.push(Receipt { id: id.to_owned(), step, of });
        }
    }
}

/// How long nothing may go on.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
