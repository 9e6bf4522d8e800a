//! State folders: what succession and a warm start rest on (`feed-protocol.md` 27 and 28).

use jeton_feed::{
    authority::{EvidenceKind, SessionFacts, StreamId},
    message::ToVerifier,
    record::Head,
    succession::Lock,
};
use jeton_types::{
    Place, Revision, SessionId, UnixTime,
    fault::{Fault, injected},
};

use crate::{
    clock::MILLI,
    net::Link,
    plan::{TWIN, TWIN_OF, keeps_state},
    replica::{self, Held},
    store::SessionRow,
    world::World,
};

/// A folder with its lock file.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    /// What the kernel says of the file.
    here: Place,
    /// What the file says.
    file: Lock,
    /// The copy of the replica.
    pub(crate) copy: Option<Copy>,
}

/// What a process could go on from (`feed-protocol.md` 28). What it holds may be wrong, as the table was that it was made of.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) replica: Held,
    pub(crate) watermark: Revision,
    pub(crate) head: Head,
    /// The table that it was made of was found to be wrong.
    found_wrong: bool,
    /// Its own sum does not fit: a reader discards it.
    torn: bool,
}

impl Folder {
    /// The folder of a verifier, each on a machine of its own.
    pub(crate) fn of(index: usize) -> Option<Self> {
        let boot = if injected(Fault::SuccessionOtherBoot) { [0; 16] } else { [(index as u8).wrapping_add(1); 16] };
        let here = Place { boot, device: 7, inode: 100 + index as u64 };
        keeps_state(index).then_some(Self { here, file: Lock { place: here, sessions: Vec::new() }, copy: None })
    }
}

impl World {
    /// Locks the folder of a new process and reads it: the place, and what is claimed.
    pub(crate) fn state_open(&mut self, index: usize) -> Option<(Place, Vec<SessionId>)> {
        let folder = self.folder(index)?;
        let here = if injected(Fault::SuccessionFromFileNotFstat) { folder.file.place } else { folder.here };
        let claims = folder.file.claims(here).to_vec();
        folder.file = Lock { place: here, sessions: claims.clone() };
        Some((here, claims))
    }

    /// Adds a session to the list, before its hello.
    pub(crate) fn state_add(&mut self, index: usize, session: SessionId) {
        if let Some(folder) = self.folder(index) {
            folder.file.sessions.push(session);
        }
    }

    /// Takes sessions out whose end the authority has confirmed.
    pub(crate) fn state_drop(&mut self, index: usize, sessions: &[SessionId]) {
        if let Some(folder) = self.folder(index) {
            folder.file.sessions.retain(|listed| !sessions.contains(listed));
        }
    }

    pub(crate) fn state_copy(&mut self, disk: bool) {
        if self.verifiers.len() <= TWIN {
            return;
        }
        let (original, twin) = (self.verifiers[TWIN_OF].folder.clone(), &mut self.verifiers[TWIN]);
        let (Some(original), Some(copy)) = (original, &mut twin.folder) else { return };
        copy.file = original.file;
        copy.copy = original.copy;
        if disk {
            // The same device and inode numbers; the machine has booted by itself.
            copy.here = Place { boot: copy.here.boot, ..original.here };
        }
        twin.intrudes = false;
        self.check.seen.clones += 1;
        self.verifier_crash(TWIN, 100 * MILLI);
    }

    /// A copy of the replica is put in the place of the one before, if what there is can be gone on from.
    pub(crate) fn copy_write(&mut self, index: usize) {
        let host = &mut self.verifiers[index];
        if host.folder.is_none() && !host.intrudes {
            return;
        }
        let Some(process) = host.process.as_ref().filter(|_| self.t >= host.stalled_until) else { return };
        let Some((watermark, head)) = process.session.resume_point() else { return };
        let Some(held) = replica::held(&process.replica, &host.namespaces) else { return };
        let copy = Copy { replica: held, watermark, head: head.clone(), found_wrong: false, torn: false };
        let fails = host.copy_fails.take();
        let Some(folder) = self.folder(index) else { return };
        match fails {
            // It is written beside the one before, which stays.
            Some(false) => self.check.seen.copies_failed += 1,
            Some(true) => folder.copy = Some(Copy { torn: true, ..copy }),
            None => {
                folder.copy = Some(copy);
                self.check.seen.copies += 1;
            }
        }
    }

    /// The table was found to be wrong: so is what was made of it.
    pub(crate) fn copy_discard(&mut self, index: usize) {
        let kept = injected(Fault::DiskCopyKept);
        let Some(folder) = self.folder(index) else { return };
        folder.copy = folder.copy.take().filter(|_| kept).map(|copy| Copy { found_wrong: true, ..copy });
    }

    /// What a new process goes on from.
    pub(crate) fn copy_read(&mut self, index: usize) -> Option<Copy> {
        let folder = self.folder(index)?;
        let copy = folder.copy.clone()?;
        if copy.torn {
            folder.copy = None;
            self.check.seen.copies_torn += 1;
            return None;
        }
        self.check.seen.warm += 1;
        if copy.found_wrong {
            let who = self.verifier_name(index);
            self.check.violated([who.clone()], || {
                format!("S21, set hash: {who} goes on from a copy whose table was found to be wrong")
            });
        }
        Some(copy)
    }

    /// A second process finds the lock held, and leaves.
    pub(crate) fn state_second(&mut self) {
        if injected(Fault::LockRenamed) && self.verifiers.len() > TWIN {
            self.verifiers[TWIN].intrudes = true;
            self.verifier_crash(TWIN, 100 * MILLI);
        }
    }

    /// S5: who is succeeded is gone.
    pub(crate) fn succession_check(&mut self, session: SessionId) {
        if self.verifiers.iter().any(|host| host.session() == Some(session)) {
            let name = self.check.session_name(session);
            self.check.violated([name.clone()], || format!("S5, succession: {name} is succeeded and lives"));
        }
    }

    pub(crate) fn claims_settle(
        &mut self,
        stream: StreamId,
        by: &SessionFacts,
        sessions: Vec<SessionId>,
        at: UnixTime,
    ) {
        let rows = &mut self.authority.store.sessions;
        for session in &sessions {
            if !rows.contains_key(session) {
                let facts = SessionFacts { session: *session, ..by.clone() };
                rows.insert(*session, SessionRow { facts, ended: Some((EvidenceKind::Succeeded, at)) });
                self.check.seen.tombstones += 1;
            }
        }
        let link = Link::of(stream);
        if self.is_open_at_authority(link) {
            self.send_urgent(link, ToVerifier::Succeeded { sessions });
        }
    }

    fn folder(&mut self, index: usize) -> Option<&mut Folder> {
        let index = if self.verifiers[index].intrudes { TWIN_OF } else { index };
        self.verifiers[index].folder.as_mut()
    }
}
