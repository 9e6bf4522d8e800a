//! The file: written and read, cut off anywhere, altered anywhere; and the keeper: what comes in between.

use std::fs;

use jeton_feed::{
    message::SnapshotPart,
    record::{Change, EndReason, Head, Policy, Record, TokenEntry},
    replica::Replica as _,
    verifier::{Input, SessionConfig},
};
use jeton_host::{clock::SystemClock, files::STATE_REPLICA};
use jeton_types::{
    AddressList, CredentialId, Digest, Freshness, Hash32, Now, ScopeSet, SessionId, Span, StartId, TokenId, UnixTime,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{format::read, *};
use crate::feed::Unobserved;

fn names() -> Vec<NamespaceName> {
    ["acme", "blog"].map(|name| name.parse().unwrap()).to_vec()
}

fn revision(number: u64) -> Revision {
    Revision::new(number).unwrap()
}

fn policy(name: &NamespaceName, seconds: u64) -> Policy {
    let freshness = if seconds == 0 { Freshness::Strict } else { Freshness::Grace(Span::from_secs(seconds)) };
    Policy { prefix: format!("{name}_live").parse().unwrap(), freshness, disabled: false }
}

fn entry(number: u8) -> TokenEntry {
    TokenEntry {
        digest: Digest::from_bytes([number; 32]),
        token: TokenId::from_bytes([number; 16]),
        credential: CredentialId::from_bytes([1; 16]),
        subject: number.is_multiple_of(3).then(|| format!("user-{number}").parse().unwrap()),
        scopes: ScopeSet::parse([["orders:read", "orders:write"][usize::from(number % 2)]]).unwrap(),
        addresses: AddressList::parse(number.is_multiple_of(6).then_some("10.0.0.0/8")).unwrap(),
        expires_at: number.is_multiple_of(5).then(|| UnixTime::from_micros(1 << 50)),
        disabled: number.is_multiple_of(7),
        ended: number.is_multiple_of(4).then_some(EndReason::Revoked),
    }
}

fn head(number: u64) -> Head {
    Head {
        revision: revision(number),
        start: StartId::from_bytes([3; 16]),
        chain_hash: Hash32([4; 32]),
        mac: Some(Hash32([5; 32])),
    }
}

fn record(namespace: &NamespaceName, predecessor: u64, at: u64, change: Change) -> Record {
    Record {
        revision: revision(at),
        predecessor: revision(predecessor),
        namespace: namespace.clone(),
        start: StartId::from_bytes([3; 16]),
        chain_hash: Hash32([4; 32]),
        // Never asked for on the way.
        set_hash: Some(Hash32([6; 32])),
        committed_at: UnixTime::ZERO,
        changes: vec![change],
    }
}

fn end_of(number: u8) -> Change {
    let TokenEntry { digest, token, .. } = entry(number);
    Change::End { digest, token, reason: EndReason::Revoked }
}

/// A replica at revision 10 with these tokens in `acme`, and none in `blog`.
fn replica(numbers: &[u8]) -> MemoryReplica {
    let replica = MemoryReplica::new(&names());
    replica.snapshot_begin();
    for (namespace, rows) in names().into_iter().zip([numbers, &[]]) {
        let rows = rows.iter().copied().map(entry).collect();
        replica.snapshot_rows(SnapshotPart { policy: policy(&namespace, 30), namespace, rows, set_hash: None });
    }
    let _ = replica.snapshot_end(revision(10)).unwrap();
    replica
}

fn file_of(replica: &MemoryReplica, numbers: &[u8]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &names(), revision(10)).unwrap();
    let tables = replica.tables().unwrap();
    let _ = tables.read(|part| {
        writer.message(&bytes_of(ToVerifier::SnapshotRows(part))).unwrap();
        ControlFlow::Continue(())
    });
    let mut at = 10;
    for number in numbers {
        let record = record(&names()[0], at, at + 1, end_of(*number));
        writer.message(&bytes_of(ToVerifier::Record(record.clone()))).unwrap();
        let _ = replica.record_apply(&Record { set_hash: None, ..record }).unwrap();
        at += 1;
    }
    let point = Point { at: revision(at + 5), head: head(at + 9), set_hashes: replica.set_hashes_kept(&names()) };
    let (file, bytes) = writer.end(&point).unwrap();
    assert_eq!(file.len() as u64, bytes);
    file
}

/// What a copy makes, token by token.
fn rows(replica: &MemoryReplica) -> Vec<TokenEntry> {
    let mut rows = Vec::new();
    let _ = replica.tables().unwrap().read(|part| {
        rows.extend(part.rows);
        ControlFlow::Continue(())
    });
    rows.sort_by_key(|row| *row.digest.as_bytes());
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(numbers in prop::collection::btree_set(any::<u8>(), 0..60)) {
        let numbers: Vec<u8> = numbers.into_iter().collect();
        let original = replica(&numbers);
        let file = file_of(&original, &numbers[..numbers.len() / 3]);
        let mut served = names();
        served.reverse();
        let whole = read(&*file, &served).unwrap();
        prop_assert_eq!(rows(&whole.replica), rows(&original));
        let at = 10 + numbers.len() as u64 / 3;
        prop_assert_eq!(whole.visible.revision(), revision(at));
        prop_assert_eq!((whole.at, whole.replica.watermark()), (revision(at + 5), revision(at + 5)));
        prop_assert_eq!(whole.head, head(at + 9));
        prop_assert_eq!(whole.replica.set_hashes(&names()).unwrap(), original.set_hashes(&names()).unwrap());
    }

    /// One bit anywhere, some bytes anywhere: none of it is taken for a copy.
    #[test]
    fn what_was_altered_is_not_read(at in any::<prop::sample::Index>(), bit in 0..8_u8, noise in prop::collection::vec(any::<u8>(), 1..40)) {
        let file = file_of(&replica(&[1, 2, 3, 4, 5]), &[1, 2]);
        let mut flipped = file.clone();
        flipped[at.index(file.len())] ^= 1 << bit;
        prop_assert!(read(&*flipped, &names()).is_err());
        let mut noisy = file.clone();
        let place = at.index(file.len());
        for (byte, noise) in noisy[place..].iter_mut().zip(&noise) {
            *byte = *noise;
        }
        prop_assume!(noisy != file);
        prop_assert!(read(&*noisy, &names()).is_err());
        prop_assert!(read(&*noise, &names()).is_err());
    }
}

#[test]
fn what_was_cut_off_is_not_read() {
    let file = file_of(&replica(&[1, 2, 3, 4, 5]), &[1, 2]);
    for end in 0..file.len() {
        let unfit = read(&file[..end], &names()).unwrap_err();
        assert!(matches!(unfit, Unfit::Damaged(_)), "{end}: {unfit}");
    }
    let longer = [&*file, &[0]].concat();
    assert!(matches!(read(&*longer, &names()).unwrap_err(), Unfit::Damaged(_)));
}

#[test]
fn what_does_not_fit_says_why() {
    let file = file_of(&replica(&[1]), &[]);
    let others = [names()[0].clone()];
    let text = read(&*file, &others).unwrap_err().to_string();
    assert_eq!(text, "is of the namespaces acme, blog, not of those served now");
    let mut newer = file;
    newer[15] = 2;
    let text = read(&*newer, &names()).unwrap_err().to_string();
    assert_eq!(text, "was written by a newer version (format 2, this one reads 1)");
}

/// As if the memory had been wrong when it was written: the checksum is good, the table is not what was kept.
#[test]
fn what_does_not_add_up_is_not_read() {
    let original = replica(&[1, 2]);
    let mut writer = Writer::begin(Vec::new(), &names(), revision(10)).unwrap();
    let _ = original.tables().unwrap().read(|mut part| {
        part.rows.iter_mut().for_each(|row| row.disabled = !row.disabled);
        writer.message(&bytes_of(ToVerifier::SnapshotRows(part))).unwrap();
        ControlFlow::Continue(())
    });
    let point = Point { at: revision(10), head: head(10), set_hashes: original.set_hashes_kept(&names()) };
    let (file, _) = writer.end(&point).unwrap();
    assert!(matches!(read(&*file, &names()).unwrap_err(), Unfit::Damaged("what it holds does not add up")));
}

fn read_whole(file: &[u8]) -> Whole {
    read(file, &names()).unwrap()
}

struct Bench {
    folder: TempDir,
    keeper: Keeper,
    replica: MemoryReplica,
    session: Session,
}

const BOOT: BootTime = BootTime::from_nanos(1_000_000_000_000);

impl Bench {
    /// A session that is live at revision 10.
    fn new(numbers: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        let keeper = Keeper::new(folder.path().to_path_buf(), names());
        let replica = replica(numbers);
        let config = SessionConfig {
            verifier: "edge-1".parse().unwrap(),
            session: SessionId::from_bytes([1; 16]),
            namespaces: names(),
            jitter_seed: 1,
            place: None,
            claims: Vec::new(),
        };
        let now = Now { boot: BOOT, real: UnixTime::from_micros(1) };
        let visible = replica.snapshot_end(revision(10)).unwrap();
        let mut session = Session::resuming(config, now, visible, revision(10), head(10));
        session.step(now, Input::Tick, &replica);
        session.step(now, Input::Connected, &replica);
        let welcome = jeton_feed::message::Welcome {
            protocol: jeton_feed::numbers::PROTOCOL,
            resume: Some(revision(10)),
            mismatch: false,
            head: head(20),
            authority_time: UnixTime::ZERO,
            foreign: false,
        };
        session.step(now, Input::Message(ToVerifier::Welcome(welcome)), &replica);
        assert!(session.status().live);
        keeper.replaced();
        Self { folder, keeper, replica, session }
    }

    fn job(&self) -> Job {
        self.keeper.follow(&self.session, &self.replica, BOOT).unwrap()
    }

    fn write(&self, job: Job) {
        self.keeper.write(job, &SystemClock, &Unobserved);
    }

    fn record(&mut self, predecessor: u64, at: u64, change: Change) {
        let record = Record { set_hash: None, ..record(&names()[0], predecessor, at, change) };
        let aside = self.keeper.takes_records().then(|| record.clone());
        let now = Now { boot: BOOT, real: UnixTime::from_micros(1) };
        self.session.step(now, Input::Message(ToVerifier::Record(record)), &self.replica);
        let writing = aside.is_some();
        self.keeper.applied(aside);
        if writing {
            assert!(self.keeper.follow(&self.session, &self.replica, BOOT).is_none(), "one at a time");
        }
    }

    fn load(&self) -> Option<Whole> {
        load(self.folder.path(), &names()).map(|(whole, _)| whole)
    }
}

#[test]
fn a_copy_has_what_was_applied_while_it_was_written() {
    let mut bench = Bench::new(&[1, 2, 3]);
    let job = bench.job();
    bench.record(10, 11, end_of(1));
    bench.record(11, 15, Change::Token(entry(9)));
    bench.write(job);
    let whole = bench.load().unwrap();
    assert_eq!((whole.at, &whole.head), (revision(15), &head(20)));
    assert_eq!(rows(&whole.replica), rows(&bench.replica));
    let status = bench.keeper.status(SystemClock.now().boot).unwrap();
    assert_eq!(status.at, revision(15));
    assert_eq!(status.bytes, fs::metadata(bench.folder.path().join(STATE_REPLICA)).unwrap().len());
}

/// A row that was collected before it was read, one that was collected after, and one that came and went meanwhile.
#[test]
fn what_was_collected_while_it_was_written_is_not_missed() {
    let collect = |number| {
        let TokenEntry { digest, token, .. } = entry(number);
        Change::Collected { digest, token }
    };
    for collected_first in [true, false] {
        let mut bench = Bench::new(&[1, 2, 3]);
        let tables = bench.replica.tables().unwrap();
        let mut parts = Vec::new();
        let mut read = || {
            let _ = tables.read(|part| {
                parts.push(bytes_of(ToVerifier::SnapshotRows(part)));
                ControlFlow::Continue(())
            });
        };
        if !collected_first {
            read();
        }
        let changes = [end_of(1), collect(1), Change::Token(entry(9)), collect(9)];
        let mut records = Vec::new();
        for (at, change) in (11..).zip(changes) {
            records.push(bytes_of(ToVerifier::Record(record(&names()[0], at - 1, at, change.clone()))));
            bench.record(at - 1, at, change);
        }
        if collected_first {
            read();
        }
        let mut writer = Writer::begin(Vec::new(), &names(), tables.at).unwrap();
        parts.iter().chain(&records).for_each(|message| writer.message(message).unwrap());
        let file = writer.end(&bench.keeper.point(&bench.session, &bench.replica).unwrap()).unwrap().0;
        let whole = read_whole(&file);
        assert_eq!(rows(&whole.replica), rows(&bench.replica));
        assert_eq!(whole.replica.namespaces()[0].tokens, 2);
    }
}

#[test]
fn what_is_discarded_does_not_come_back() {
    let bench = Bench::new(&[1, 2, 3]);
    bench.write(bench.job());
    assert!(bench.load().is_some());
    bench.keeper.replaced();
    let late = bench.keeper.begin(&mut bench.keeper.state(), &bench.session, &bench.replica).unwrap();
    bench.keeper.discard();
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 0, "before anything else");
    // The thread that was writing is done only now.
    bench.write(late);
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 0);
    assert_eq!(bench.keeper.status(BOOT), None);
}

#[test]
fn another_table_takes_the_copy_under_way_back_and_not_the_last() {
    let bench = Bench::new(&[1, 2, 3]);
    bench.write(bench.job());
    let late = bench.keeper.begin(&mut bench.keeper.state(), &bench.session, &bench.replica).unwrap();
    bench.keeper.replaced();
    let before = fs::read(bench.folder.path().join(STATE_REPLICA)).unwrap();
    bench.write(late);
    assert_eq!(fs::read(bench.folder.path().join(STATE_REPLICA)).unwrap(), before);
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 1, "nothing half is left");
}

#[test]
fn a_folder_that_cannot_be_written_is_counted_and_tried_again() {
    #[derive(Default)]
    struct Failures(std::sync::atomic::AtomicU32);
    impl Observe for Failures {
        fn copy_failed(&self) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let bench = Bench::new(&[1]);
    let failures = Failures::default();
    let job = bench.job();
    // A folder in its place cannot be replaced by a file.
    let place = bench.folder.path().join(STATE_REPLICA);
    fs::create_dir(&place).unwrap();
    bench.keeper.write(job, &SystemClock, &failures);
    assert_eq!(failures.0.into_inner(), 1);
    assert!(bench.keeper.follow(&bench.session, &bench.replica, BOOT).is_none(), "not at once");
    assert!(bench.load().is_none());
    fs::remove_dir(&place).unwrap();
    let job = bench.keeper.last(&bench.session, &bench.replica).unwrap();
    bench.write(job);
    assert!(bench.load().is_some());
    assert!(bench.keeper.last(&bench.session, &bench.replica).is_none(), "nothing has changed since");
}

#[test]
fn a_damaged_copy_is_removed_and_one_that_does_not_fit_is_left() {
    let bench = Bench::new(&[1]);
    bench.write(bench.job());
    let place = bench.folder.path().join(STATE_REPLICA);
    assert!(load(bench.folder.path(), &names()[..1]).is_none());
    assert!(place.exists());
    let mut file = fs::read(&place).unwrap();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    fs::write(&place, file).unwrap();
    assert!(bench.load().is_none());
    assert!(!place.exists());
}
