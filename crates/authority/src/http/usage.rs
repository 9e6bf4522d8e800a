//! What is known of tokens in use, as it is shown with them.

use jeton_api::usage::{AfterEndView, PresenterView, UsageView};
use jeton_store::{
    Store,
    model::{PresenterRow, UsageKnown, UsageRow},
};
use jeton_types::{CredentialId, UnixTime};

use super::failure::Failure;
use crate::core::Core;

/// Of all tokens of a credential, oldest first. Whoever may read the credential may read this.
pub(super) async fn usages(core: &Core, credential: CredentialId) -> Result<Vec<UsageView>, Failure> {
    // Before the store is read: what was stored meanwhile was known then.
    let own = core.own_use.until(&core.time);
    let rows = core.store.usages(credential).await?;
    Ok(rows.into_iter().map(|row| view(row, own)).collect())
}

/// `own` is until when the authority has told what it saw itself.
fn view(row: UsageRow, own: UnixTime) -> UsageView {
    UsageView {
        token_id: row.token,
        first_used_at: row.used.map(|seen| seen.first.into()),
        last_used_at: row.used.map(|seen| seen.last.into()),
        count: row.used.map_or(0, |seen| seen.count),
        known_until: match row.known {
            UsageKnown::All => Some(own.into()),
            UsageKnown::Until(until) => Some(until.min(own).into()),
            UsageKnown::Unknown => None,
        },
        after_end: row.presented.map(|seen| AfterEndView {
            count: seen.count,
            first_at: seen.first.into(),
            last_at: seen.last.into(),
            presenters: row.presenters.into_iter().map(presenter).collect(),
        }),
    }
}

fn presenter(row: PresenterRow) -> PresenterView {
    let PresenterRow { verifier, address, seen } = row;
    PresenterView { address, verifier, count: seen.count, first_at: seen.first.into(), last_at: seen.last.into() }
}
