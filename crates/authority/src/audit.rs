//! Entries of the audit trail, as they are shown. Whoever reads them checks their chain with `jeton_client::audit`.

use jeton_api::audit::AuditView;
use jeton_lifecycle::audit::Link;

/// How an entry is shown.
pub(crate) fn view(link: Link) -> AuditView {
    let Link { entry, previous, hash } = link;
    AuditView {
        seq: entry.seq,
        revision: entry.revision,
        at: entry.at.into(),
        token_id: entry.token,
        credential_id: entry.credential,
        address: entry.address,
        action: entry.action,
        namespace: entry.namespace,
        object: entry.object,
        reason: entry.reason,
        previous,
        hash,
    }
}
