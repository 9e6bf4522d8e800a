//! What the authority itself says of a token: for callers that hold no replica, and for people.

use axum::{extract::State, response::Response};
use jeton_api::{
    problem::Code as Problem,
    verify::{VerdictView, VerifyRequest},
};
use jeton_lifecycle::Action;
use jeton_store::{
    Store,
    model::{CredentialRow, TokenRow},
};
use jeton_types::{Revision, ScopeSet, UnixTime, token::parse};
use jeton_verifier::{Code, Required, Source, decide};

use super::{answer, failure::Failure, payload::Payload};
use crate::{
    access::{Access, believed},
    core::Core,
};

/// Answers for the namespaces in which the caller may verify; a token of any other is as unknown to him as one that
/// does not exist.
pub(crate) async fn verify(
    State(core): State<Core>,
    mut access: Access,
    payload: Payload,
) -> Result<Response, Failure> {
    access.permit_somewhere(Action::Verify)?;
    let request: VerifyRequest = payload.json_with_token(&mut access).await?;
    // From here until the answer is made this counts as a verification under way, of both tokens: the authority
    // acknowledges a revocation only once it is over (`feed-protocol.md` 20).
    let access = access.again(&core).await?;
    let revision = core.store.commit_log().head().revision;
    if let Some(wanted) = request.at_least_revision.filter(|wanted| *wanted > revision) {
        return Err(Failure::new(
            Problem::Stale,
            format!("this authority is at revision {revision}, and {wanted} was demanded; try again"),
        ));
    }
    let found = match parse(request.token.0.expose().as_bytes()) {
        Err(_) => Err(Code::Malformed),
        Ok(parsed) => {
            let found = core.store.token_by_digest(parsed.digest).await?;
            let found = found.filter(|(token, _)| access.may(Action::Verify, &token.namespace));
            match found {
                // The digest is of the body alone, so a foreign prefix before a good body would be found.
                Some((token, credential)) => match core.store.namespace(token.namespace.clone()).await? {
                    Some(home) if home.prefix.as_str() == parsed.prefix => {
                        Ok((token, credential, home.disabled.is_some()))
                    }
                    _ => Err(Code::Unknown),
                },
                None => Err(Code::Unknown),
            }
        }
    };
    let now = core.time.now();
    let view = match found {
        Err(code) => refused(code, revision, now),
        Ok((token, credential, disabled)) => {
            // Whatever age was allowed: this is the truth, read after it was asked for.
            let required = Required { scopes: request.scopes, ..Required::default() };
            let code = decide(&token.entry(&credential), disabled, &required, request.client_address, now);
            match code {
                Code::Valid => core.own_use.used(token.id, &core.time),
                Code::Revoked | Code::Expired => core.own_use.presented(token.id, request.client_address, &core.time),
                _ => {}
            }
            decided(code, &token, credential, revision, now)
        }
    };
    // Found while this was decided: then it was decided upon what is not believed any more.
    believed(&core)?;
    core.metrics.verification_count(view.code.as_str(), Source::Authority.as_str());
    Ok(answer::ok(&view))
}

fn decided(code: Code, token: &TokenRow, credential: CredentialRow, revision: Revision, now: UnixTime) -> VerdictView {
    VerdictView {
        valid: code == Code::Valid,
        namespace: Some(credential.namespace),
        token_id: Some(token.id),
        credential_id: Some(credential.id),
        subject: credential.subject,
        scopes: credential.scopes,
        expires_at: token.expires_at.map(Into::into),
        ..refused(code, revision, now)
    }
}

fn refused(code: Code, revision: Revision, now: UnixTime) -> VerdictView {
    VerdictView {
        valid: false,
        code,
        namespace: None,
        token_id: None,
        credential_id: None,
        subject: None,
        scopes: ScopeSet::default(),
        expires_at: None,
        revision,
        as_of: now.into(),
        not_after: None,
        source: Source::Authority,
    }
}
