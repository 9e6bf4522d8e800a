//! `jeton rotate`.

use jeton_api::credential::{RotateRequest, RotatedView};

use super::{client, credential, idempotency_key};
use crate::{
    args::RotateArgs,
    exit::{Exit, Outcome},
    output,
};

pub async fn run(args: RotateArgs, json: bool) -> Outcome {
    let client = client(&args.connection)?;
    let id = credential(&client, &args.credential).await?.id;
    let place = output::SecretOut::prepare(args.out.as_deref())?;
    let request = RotateRequest { overlap: Some(args.overlap) };
    let rotated: RotatedView =
        client.post_once(&format!("/v1/credentials/{id}/rotate"), &request, &idempotency_key()).await?;
    place.hand_out(&rotated, &rotated.token, json)?;
    // As good as the new one: not revoked or expired before.
    if !json && rotated.previous.state == rotated.token.state {
        let until = output::or_dash(rotated.previous.expires_at.as_ref());
        output::note(&format!("{} works on until {until}", rotated.previous.hint));
    }
    Ok(Exit::Done)
}
