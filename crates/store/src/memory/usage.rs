//! What is known of tokens in use.

use std::collections::BTreeMap;

use jeton_feed::usage::{Report, Seen};
use jeton_types::{CredentialId, SessionId, TokenId, UnixTime};

use super::state::State;
use crate::{
    StoreError,
    model::{PresenterRow, UsageFrom, UsageRow, UsageTaken},
    usage::{Teller, clamped, known, present, sort, together, tokens},
};

/// What was reported.
#[derive(Clone, Default)]
pub(super) struct Usage {
    used: BTreeMap<TokenId, Seen<UnixTime>>,
    presented: BTreeMap<TokenId, Seen<UnixTime>>,
    /// In the order of verifier and address, as text.
    presenters: BTreeMap<TokenId, Vec<PresenterRow>>,
    /// Number, until when all was told, and whether there is none after it.
    pub(super) reports: BTreeMap<SessionId, (u64, UnixTime, bool)>,
}

pub(super) fn report(
    state: &mut State,
    from: UsageFrom,
    report: &Report,
    now: UnixTime,
) -> Result<UsageTaken, StoreError> {
    let (verifier, served) = match from {
        UsageFrom::Authority(name) => (name, None),
        UsageFrom::Session(id) => {
            let session = state.sessions.get(&id).ok_or(StoreError::NotFound("session"))?;
            if state.usage.reports.get(&id).is_some_and(|(counted, ..)| report.number <= *counted) {
                return Ok(UsageTaken::Again);
            }
            (session.verifier.clone(), Some((id, session.namespaces.clone())))
        }
    };
    let served_at = |token: &TokenId| {
        let row = state.tokens.get(token)?;
        Some((served.as_ref().is_none_or(|(_, namespaces)| namespaces.contains(&row.namespace)), row.issued_at))
    };
    if let Some(foreign) = tokens(report).find(|token| served_at(token).is_some_and(|(is, _)| !is)) {
        return Ok(UsageTaken::Foreign(foreign));
    }
    let usage = &mut state.usage;
    for (token, seen) in &report.uses {
        let Some(row) = state.tokens.get(token) else { continue };
        let all = together(usage.used.get(token).copied(), clamped(*seen, row.issued_at, now));
        usage.used.insert(*token, all);
    }
    for (token, address, seen) in &report.presented {
        let Some(row) = state.tokens.get(token) else { continue };
        let seen = clamped(*seen, row.issued_at, now);
        let all = together(usage.presented.get(token).copied(), seen);
        usage.presented.insert(*token, all);
        let rows = usage.presenters.entry(*token).or_default();
        let (row, drop) = present(rows, &verifier, *address, seen);
        let key = |row: &PresenterRow| {
            (row.verifier.to_string(), row.address.map(|address| address.to_string()).unwrap_or_default())
        };
        rows.retain(|other| Some(other) != drop.as_ref() && key(other) != key(&row));
        rows.push(row);
        rows.sort_by_key(key);
    }
    if let Some((session, _)) = served {
        usage.reports.insert(session, (report.number, report.until.min(now), report.last));
    }
    Ok(UsageTaken::Counted)
}

pub(super) fn list(state: &State, credential: CredentialId) -> Vec<UsageRow> {
    let usage = &state.usage;
    let tellers: Vec<Teller> = state
        .sessions
        .values()
        .map(|row| {
            let report = usage.reports.get(&row.session);
            Teller {
                namespaces: row.namespaces.clone(),
                opened_at: row.opened_at,
                ended_at: row.ended.map(|(_, at)| at),
                until: report.map(|(_, until, _)| *until),
                last: report.is_some_and(|(.., last)| *last),
            }
        })
        .collect();
    let row = |token: crate::model::TokenRow| {
        let mut presenters = usage.presenters.get(&token.id).cloned().unwrap_or_default();
        sort(&mut presenters);
        UsageRow {
            token: token.id,
            used: usage.used.get(&token.id).copied(),
            presented: usage.presented.get(&token.id).copied(),
            presenters,
            known: known(&tellers, &token.namespace, token.issued_at),
        }
    };
    state.tokens_of(credential).into_iter().map(row).collect()
}
