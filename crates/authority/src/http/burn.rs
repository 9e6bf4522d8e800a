//! Burning: whoever holds a token may end it, without any other right. Open to everybody, so each address has only a
//! few turns, and the answer never says whether there was such a token.

use axum::{Extension, extract::State, response::Response};
use jeton_api::{
    problem::Code,
    revocation::{BurnRequest, BurnView},
};
use jeton_host::serve::Peer;
use jeton_store::{Store, model::Burn};

use super::{
    answer,
    failure::Failure,
    payload::{Payload, no_token},
    revocation,
};
use crate::core::Core;

pub(crate) async fn burn(
    State(core): State<Core>,
    peer: Option<Extension<Peer>>,
    payload: Payload,
) -> Result<Response, Failure> {
    let address = peer.map(|Extension(peer)| peer.0.ip());
    if !core.burns.take(address, core.time.read().0.boot) {
        return Err(Failure::new(Code::TooMany, "an address may burn ten tokens at once, and one a second after that"));
    }
    let request: BurnRequest = payload.json_open().await?;
    no_token(request.reason.as_ref().map_or(&[], |reason| reason.as_str().as_bytes()))?;
    let key = revocation::secret_key(&request.token.0)?;
    // Looked for in a reader first, so that made-up tokens keep no writer busy.
    if core.store.token_by_digest(key.digest).await?.is_some() {
        let reason = request.reason.map(|reason| reason.as_str().to_owned());
        let burn = Burn { digest: key.digest, prefix: key.prefix, address, reason };
        core.store.token_burn(burn).await?;
    }
    Ok(answer::accepted(&BurnView { accepted: true }))
}
