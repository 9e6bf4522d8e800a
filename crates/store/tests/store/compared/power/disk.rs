//! A folder on a disk whose power goes: what was synced is there; of what was not, anything may be.

use std::{collections::BTreeMap, path::Path};

use jeton_testkit::Dice;

use super::trace::Event;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    files: Vec<File>,
    /// As whoever runs sees it.
    names: Names,
    durable: Names,
    /// What became of the names since the folder was synced, in order.
    renamed: Vec<Event>,
}

type Names = BTreeMap<String, usize>;

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    length: u64,
    /// Since it was synced, in order.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
    Extend(u64),
}

/// What is found when the power is back, by name. The log's index is no part of it: whoever is alone makes it anew.
pub(super) type Image = BTreeMap<String, Vec<u8>>;

/// What of all that was not synced is there.
#[derive(Debug)]
pub(super) enum Kept<'a> {
    Nothing,
    All,
    /// Sectors by chance; the others are as they were.
    Some(&'a mut Dice),
}

impl Disk {
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Create(name) if !self.names.contains_key(name) => {
                self.names.insert(name.clone(), self.files.len());
                self.files.push(File::default());
                self.renamed.push(event.clone());
            }
            Event::Create(_) | Event::Told(_) => {}
            Event::Write(name, at, bytes) => {
                let file = self.file(name);
                file.length = file.length.max(at + bytes.len() as u64);
                file.pending.push(Change::Write(*at, bytes.clone()));
            }
            Event::Append(name, bytes) => {
                let file = self.file(name);
                file.pending.push(Change::Write(file.length, bytes.clone()));
                file.length += bytes.len() as u64;
            }
            Event::Truncate(name, length) => {
                let file = self.file(name);
                file.length = *length;
                file.pending.push(Change::Truncate(*length));
            }
            Event::Allocate(name, length) => {
                let file = self.file(name);
                file.length = file.length.max(*length);
                file.pending.push(Change::Extend(*length));
            }
            Event::Sync(name) => {
                let file = self.file(name);
                for change in std::mem::take(&mut file.pending) {
                    change.whole(&mut file.durable);
                }
            }
            Event::SyncFolder => {
                self.durable = self.names.clone();
                self.renamed.clear();
            }
            Event::Remove(_) | Event::Rename(..) => {
                rename(&mut self.names, event, &[]);
                self.renamed.push(event.clone());
            }
        }
    }

    fn file(&mut self, name: &str) -> &mut File {
        let at = self.names.get(name).unwrap_or_else(|| panic!("{name} was never made"));
        &mut self.files[*at]
    }

    /// What is there after the power went now.
    pub(super) fn image(&self, mut kept: Kept<'_>) -> Image {
        let mut names = self.durable.clone();
        let made: Vec<(&String, usize)> = self.names.iter().map(|(name, at)| (name, *at)).collect();
        let done = match &mut kept {
            Kept::Nothing => 0,
            Kept::All => self.renamed.len(),
            // File systems keep their own changes in order.
            Kept::Some(dice) => dice.below(self.renamed.len() + 1),
        };
        for event in &self.renamed[..done] {
            rename(&mut names, event, &made);
        }
        // How much of it is there is another chance each time.
        let odds = match &mut kept {
            Kept::Some(dice) => 1 + dice.below(9),
            _ => 0,
        };
        let mut image = Image::new();
        for (name, at) in names.into_iter().filter(|(name, _)| !name.ends_with("-shm")) {
            let file = &self.files[at];
            let mut bytes = file.durable.clone();
            for change in &file.pending {
                match &mut kept {
                    Kept::Nothing => {}
                    Kept::All => change.whole(&mut bytes),
                    Kept::Some(dice) => change.torn(&mut bytes, || dice.below(10) < odds),
                }
            }
            image.insert(name, bytes);
        }
        image
    }
}

/// `made` says which file a name that was made stands for; without, it is not asked.
fn rename(names: &mut Names, event: &Event, made: &[(&String, usize)]) {
    match event {
        Event::Create(name) => {
            // One that was made and removed again since has left nothing.
            if let Some((_, at)) = made.iter().find(|(other, _)| *other == name) {
                names.insert(name.clone(), *at);
            }
        }
        Event::Remove(name) => {
            names.remove(name);
        }
        Event::Rename(from, to) => {
            if let Some(at) = names.remove(from) {
                names.insert(to.clone(), at);
            }
        }
        _ => {}
    }
}

impl Change {
    fn whole(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, new) => put(bytes, *at, new),
            Self::Truncate(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
            Self::Extend(length) => bytes.resize(bytes.len().max(usize::try_from(*length).unwrap()), 0),
        }
    }

    fn torn(&self, bytes: &mut Vec<u8>, mut there: impl FnMut() -> bool) {
        let Self::Write(at, new) = self else {
            if there() {
                self.whole(bytes);
            }
            return;
        };
        let (mut from, end) = (*at, at + new.len() as u64);
        while from < end {
            let to = end.min((from / SECTOR + 1) * SECTOR);
            if there() {
                let part = |place: u64| usize::try_from(place - at).unwrap();
                put(bytes, from, &new[part(from)..part(to)]);
            }
            from = to;
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: u64, new: &[u8]) {
    let at = usize::try_from(at).unwrap();
    bytes.resize(bytes.len().max(at + new.len()), 0);
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// Writes it down in an empty folder.
pub(super) fn write(image: &Image, folder: &Path) {
    for (name, bytes) in image {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn what_was_not_synced_may_be_lost_in_part() {
    let (name, mut disk) = ("a".to_owned(), Disk::default());
    let write = |at, byte: u8, length| Event::Write("a".to_owned(), at, vec![byte; length]);
    for event in [Event::Create(name.clone()), write(0, 1, 1_024), Event::Sync(name.clone())] {
        disk.apply(&event);
    }
    assert_eq!(disk.image(Kept::Nothing), Image::new(), "nobody synced its name");
    disk.apply(&Event::SyncFolder);
    disk.apply(&write(256, 2, 1_024));
    let before = [vec![1; 1_024]].concat();
    let after = [vec![1; 256], vec![2; 1_024]].concat();
    assert_eq!(disk.image(Kept::Nothing)["a"], before);
    assert_eq!(disk.image(Kept::All)["a"], after);
    let mut dice = Dice::fixed(1);
    let torn: std::collections::BTreeSet<_> =
        (0..200).map(|_| disk.image(Kept::Some(&mut dice))["a"].clone()).collect();
    // Three sectors are touched, each of them there or not.
    assert!(torn.len() > 4 && torn.contains(&before) && torn.contains(&after), "{}", torn.len());
    assert!(torn.iter().all(|bytes| bytes[..256] == before[..256]));

    disk.apply(&Event::Remove(name.clone()));
    assert_eq!(disk.image(Kept::Nothing)["a"], before, "it may be there again");
    assert_eq!(disk.image(Kept::All), Image::new());
    disk.apply(&Event::SyncFolder);
    assert_eq!(disk.image(Kept::Nothing), Image::new());
}
