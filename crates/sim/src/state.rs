//! State folders: what succession rests on (`feed-protocol.md` 27).

use jeton_feed::{
    authority::{EvidenceKind, SessionFacts, StreamId},
    message::ToVerifier,
    record::Head,
    succession::Lock,
};
use jeton_types::{Place, Revision, SessionId, UnixTime};

use crate::{
    World,
    clock::MILLI,
    plan::{Flaw, KEEPS_STATE, TWIN, TWIN_OF},
    replica::Held,
    store::SessionRow,
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
}

impl Folder {
    /// The folder of a verifier, each on a machine of its own.
    pub(crate) fn of(index: usize, flaw: Option<Flaw>) -> Option<Self> {
        let boot = if flaw == Some(Flaw::SuccessionOtherBoot) { [0; 16] } else { [index as u8 + 1; 16] };
        let here = Place { boot, device: 7, inode: 100 + index as u64 };
        KEEPS_STATE[index].then_some(Self { here, file: Lock { place: here, sessions: Vec::new() }, copy: None })
    }
}

impl World {
    /// Locks the folder of a new process and reads it: the place, and what is claimed.
    pub(crate) fn state_open(&mut self, index: usize) -> Option<(Place, Vec<SessionId>)> {
        let flaw = self.plan.flaw;
        let folder = self.folder(index)?;
        let here = if flaw == Some(Flaw::SuccessionFromFile) { folder.file.place } else { folder.here };
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
        let (original, twin) = (self.verifiers[TWIN_OF].folder.clone(), &mut self.verifiers[TWIN]);
        let (Some(original), Some(copy)) = (original, &mut twin.folder) else { return };
        copy.file = original.file;
        copy.copy = original.copy;
        if disk {
            // The same device and inode numbers; the machine has booted by itself.
            copy.here = Place { boot: copy.here.boot, ..original.here };
        }
        twin.intrudes = false;
        self.verifier_crash(TWIN, 100 * MILLI);
    }

    /// A copy of the replica is put in the place of the one before, if what there is can be gone on from.
    pub(crate) fn copy_write(&mut self, index: usize) {
        let host = &self.verifiers[index];
        let Some(process) = host.process.as_ref().filter(|_| self.t >= host.stalled_until) else { return };
        let Some((watermark, head)) = process.session.resume_point() else { return };
        let copy = Copy { replica: process.replica.held(), watermark, head: head.clone(), found_wrong: false };
        if let Some(folder) = self.folder(index) {
            folder.copy = Some(copy);
            self.check.seen.copies += 1;
        }
    }

    /// The table was found to be wrong: so is what was made of it.
    pub(crate) fn copy_discard(&mut self, index: usize) {
        let kept = self.plan.flaw == Some(Flaw::DiskCopyKept);
        let Some(folder) = self.folder(index) else { return };
        folder.copy = folder.copy.take().filter(|_| kept).map(|copy| Copy { found_wrong: true, ..copy });
    }

    /// What a new process goes on from.
    pub(crate) fn copy_read(&mut self, index: usize) -> Option<Copy> {
        let copy = self.folder(index)?.copy.clone()?;
        self.check.seen.warm += 1;
        if copy.found_wrong {
            self.check
                .violated(|| format!("S21: verifier {index} goes on from a copy whose table was found to be wrong"));
        }
        Some(copy)
    }

    /// A second process finds the lock held, and leaves.
    pub(crate) fn state_second(&mut self) {
        if self.plan.flaw == Some(Flaw::LockRenamed) {
            self.verifiers[TWIN].intrudes = true;
            self.verifier_crash(TWIN, 100 * MILLI);
        }
    }

    /// S5: who is succeeded is gone.
    pub(crate) fn succession_check(&mut self, session: SessionId) {
        let alive = self.verifiers.iter().position(|host| host.session() == Some(session));
        if let Some(index) = alive {
            let text = format!("S5: {session} of verifier {index} is succeeded at {} and lives", self.t);
            self.check.violated(|| text);
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
        if self.is_open_at_authority(stream.0) {
            self.send_urgent(stream.0, ToVerifier::Succeeded { sessions });
        }
    }

    fn folder(&mut self, index: usize) -> Option<&mut Folder> {
        let index = if self.verifiers[index].intrudes { TWIN_OF } else { index };
        self.verifiers[index].folder.as_mut()
    }
}
