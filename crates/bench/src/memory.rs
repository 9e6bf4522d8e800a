//! Bytes per token in a replica: by how much a process grows that takes in a snapshot.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use clap::ValueEnum;
use jeton_feed::{
    message::SnapshotPart,
    record::{Policy, TokenEntry},
    replica::Replica as _,
};
use jeton_types::{
    CredentialId, Digest, Freshness, NamespaceName, Prefix, Revision, ScopeSet, TokenId, UnixTime,
    token::{self, Minted, RANDOM_BYTES},
};
use jeton_verifier::MemoryReplica;

use crate::{
    figure::{Aim, Figure, Part},
    process::{Talking, resident},
    setup::{Setup, child},
};

/// Rows that come in one message of a snapshot.
const PAGE: u64 = 500;

/// What is filled.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// The product's replica.
    Replica,
    /// What one would write first: a map from digest to an entry of strings.
    Map,
}

/// How the subjects of the tokens are.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Subjects {
    /// One for every thousand tokens.
    Few,
    /// One of 20 bytes for each token.
    Each,
    /// One of 42 bytes for each token: a word and a UUID.
    Long,
}

pub fn measure(setup: &Setup) -> Part {
    let tokens = setup.size(1_000_000, 2_000);
    let figures = [
        (Subjects::Few, "a subject for 1,000 tokens", Aim::ValueAtMost(160.0)),
        (Subjects::Each, "a subject of 20 bytes each", Aim::ValueAtMost(160.0)),
        (Subjects::Long, "a subject of 42 bytes each", Aim::None),
    ];
    let figures = figures.map(|(subjects, what, aim)| {
        let round = |kind| {
            // Deterministic but for what the allocator does: three rounds tell as much as ten.
            let rounds = setup.size(3, 1);
            (0..rounds).map(|_| grown(kind, subjects, tokens)).collect::<Vec<_>>()
        };
        let (product, anchor) = (round(Kind::Replica), round(Kind::Map));
        Figure { what: what.to_owned(), unit: "bytes per token", product, anchor, aim: setup.aim(aim) }
    });
    Part {
        title: "Memory of a replica",
        how: format!(
            "A process of its own takes in a snapshot of {} tokens, {PAGE} rows at a time: growth of its resident memory divided by the tokens. \
             Each token has a credential of its own, two scopes out of 20 sets, and an expiry. The anchor is a hash map from digest to an entry \
             behind an `Arc`, with a string for the subject and for each scope.",
            crate::figure::short(tokens as f64)
        ),
        figures: figures.into(),
    }
    .told()
}

fn grown(kind: Kind, subjects: Subjects, tokens: u64) -> f64 {
    let name = |value: Option<clap::builder::PossibleValue>| value.expect("a value").get_name().to_owned();
    let (kind, subjects) = (name(kind.to_possible_value()), name(subjects.to_possible_value()));
    let arguments = ["fill", "--kind", &kind, "--subjects", &subjects, "--tokens", &tokens.to_string()];
    Talking::start(child(&arguments)).line().parse().expect("a number")
}

/// Fills one, and says how many bytes a token has cost.
pub fn fill(kind: Kind, subjects: Subjects, tokens: u64) {
    let own = std::process::id();
    // What the first rows bring with them, once: the allocator's own needs.
    drop((0..PAGE).map(|number| entry(number, subjects)).collect::<Vec<_>>());
    let before = resident(own);
    let len = match kind {
        Kind::Replica => {
            let replica = replica(tokens, |number| entry(number, subjects));
            let len = replica.namespaces().iter().map(|served| served.tokens).sum::<usize>();
            println!("{}", per_token(resident(own) - before, tokens));
            len
        }
        Kind::Map => {
            let map: HashMap<Digest, Arc<Plain>> = (0..tokens)
                .map(|number| entry(number, subjects))
                .map(|entry| (entry.digest, Arc::new(Plain::of(&entry))))
                .collect();
            println!("{}", per_token(resident(own) - before, tokens));
            map.values().map(|plain| plain.scopes.len().min(1)).sum()
        }
    };
    assert_eq!(len as u64, tokens, "all are there");
}

fn per_token(bytes: u64, tokens: u64) -> f64 {
    bytes as f64 / tokens as f64
}

/// A replica of `acme` with as many tokens, as a snapshot makes it.
pub fn replica(tokens: u64, entry: impl Fn(u64) -> TokenEntry) -> MemoryReplica {
    let acme: NamespaceName = "acme".parse().expect("a name");
    let policy = Policy { prefix: prefix(), freshness: Freshness::Strict, disabled: false };
    let replica = MemoryReplica::new(std::slice::from_ref(&acme));
    replica.snapshot_begin();
    for first in (0..tokens).step_by(PAGE as usize) {
        let rows = (first..tokens.min(first + PAGE)).map(&entry).collect();
        let (namespace, policy) = (acme.clone(), policy.clone());
        replica.snapshot_rows(SnapshotPart { namespace, policy, rows, set_hash: None });
    }
    let shown = replica.snapshot_end(Revision::new(tokens + 1).expect("a revision"));
    let _ = shown.expect("a snapshot without a hash fits any rows");
    replica
}

fn prefix() -> Prefix {
    "acme_live".parse().expect("a prefix")
}

/// The token of a number: always the same one.
pub fn minted(number: u64) -> Minted {
    let mut random = [0; RANDOM_BYTES];
    random[..8].copy_from_slice(&scrambled(number).to_le_bytes());
    token::mint(&prefix(), Revision::new(number + 1).expect("a revision"), random)
}

/// The row of that token.
pub fn entry(number: u64, subjects: Subjects) -> TokenEntry {
    let id = |salt: u64| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(number + 1).to_be_bytes());
        bytes[8..].copy_from_slice(&scrambled(number ^ salt).to_be_bytes());
        bytes
    };
    let subject = match subjects {
        Subjects::Few => format!("team:{:06}", number / 1_000),
        Subjects::Each => format!("customer:{number:011}"),
        Subjects::Long => format!("users/{:036x}", u128::from(scrambled(number))),
    };
    let kind = number % 20;
    let scopes: BTreeSet<String> = [format!("orders:{kind}"), format!("invoices:{kind}")].into();
    TokenEntry {
        digest: minted(number).digest,
        token: TokenId::from_bytes(id(0x5eed)),
        credential: CredentialId::from_bytes(id(0xc0de)),
        subject: subject.parse().ok(),
        scopes: ScopeSet::parse(scopes.iter().map(String::as_str)).expect("scopes"),
        expires_at: Some(UnixTime::from_micros(u64::MAX / 2)),
        addresses: jeton_types::AddressList::default(),
        disabled: false,
        ended: None,
    }
}

/// SplitMix64's last step: neighbours look like strangers.
pub fn scrambled(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// An entry as one would write it down first. Only held, never read.
#[expect(dead_code, reason = "what it costs to hold is all that is asked")]
struct Plain {
    digest: Digest,
    token: TokenId,
    credential: CredentialId,
    subject: Option<Box<str>>,
    scopes: Box<[Box<str>]>,
    expires_at: Option<UnixTime>,
    disabled: bool,
    ended: bool,
}

impl Plain {
    fn of(entry: &TokenEntry) -> Self {
        Self {
            digest: entry.digest,
            token: entry.token,
            credential: entry.credential,
            subject: entry.subject.as_ref().map(|subject| subject.as_str().into()),
            scopes: entry.scopes.iter().map(|scope| scope.as_str().into()).collect(),
            expires_at: entry.expires_at,
            disabled: entry.disabled,
            ended: entry.ended.is_some(),
        }
    }
}
