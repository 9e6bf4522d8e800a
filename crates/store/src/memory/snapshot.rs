//! All that is enforced in some namespaces.

use jeton_feed::message::SnapshotPart;
use jeton_types::{NamespaceName, Revision};

use super::state::State;
use crate::{StoreError, model::SnapshotItem};

/// Rows in one piece.
const ROWS_MAX: usize = 500;

impl State {
    pub(super) fn snapshot(&self, namespaces: &[NamespaceName]) -> Result<(Revision, Vec<SnapshotItem>), StoreError> {
        let at = self.head.revision;
        let mut items = vec![SnapshotItem::Begin { at }];
        for name in namespaces {
            let policy = self.namespace(name)?.policy();
            let mut pieces: Vec<_> = self.enforced(name).chunks(ROWS_MAX).map(<[_]>::to_vec).collect();
            // The last one is whatever is left, and says what all add up to.
            if pieces.last().is_none_or(|piece| piece.len() == ROWS_MAX) {
                pieces.push(Vec::new());
            }
            let count = pieces.len();
            for (place, rows) in pieces.into_iter().enumerate() {
                let set_hash = self.set_hash(name).filter(|_| place + 1 == count);
                let part = SnapshotPart { namespace: name.clone(), policy: policy.clone(), rows, set_hash };
                items.push(SnapshotItem::Rows(part));
            }
        }
        Ok((at, items))
    }
}
