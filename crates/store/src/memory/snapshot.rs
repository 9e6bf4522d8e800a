//! All that is enforced in some namespaces.

use std::ops::ControlFlow;

use jeton_types::{NamespaceName, Revision};

use super::state::State;
use crate::{StoreError, model::SnapshotItem};

/// Rows in one piece.
const ROWS_MAX: usize = 500;

impl State {
    pub(super) fn snapshot(
        &self,
        namespaces: &[NamespaceName],
        mut sink: impl FnMut(SnapshotItem) -> ControlFlow<()>,
    ) -> Result<Option<Revision>, StoreError> {
        let at = self.head.revision;
        if sink(SnapshotItem::Begin { at }).is_break() {
            return Ok(None);
        }
        for name in namespaces {
            let policy = self.namespace(name)?.policy();
            let rows = self.tokens.values().filter(|token| token.namespace == *name);
            let rows: Vec<_> = rows
                .filter_map(|token| self.credentials.get(&token.credential).map(|credential| token.entry(credential)))
                .collect();
            let mut pieces: Vec<_> = rows.chunks(ROWS_MAX).map(<[_]>::to_vec).collect();
            if pieces.is_empty() {
                pieces.push(Vec::new());
            }
            for rows in pieces {
                if sink(SnapshotItem::Rows { namespace: name.clone(), policy: policy.clone(), rows }).is_break() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(at))
    }
}
