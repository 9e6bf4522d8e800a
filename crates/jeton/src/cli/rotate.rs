//! `jeton rotate`.

use jeton_api::credential::RotateRequest;

use super::client;
use crate::{
    args::RotateArgs,
    exit::{Exit, Outcome},
    output,
};

pub async fn run(args: RotateArgs, json: bool) -> Outcome {
    let client = client(&args.connection)?;
    let id = client.credential(&args.credential).await?.id;
    let place = output::SecretOut::prepare(args.out.as_deref())?;
    let request = RotateRequest { overlap: Some(args.overlap) };
    let rotated = client.rotate(id, &request).await?;
    place.hand_out(&rotated, &rotated.token, json)?;
    // As good as the new one: not revoked or expired before.
    if !json && rotated.previous.state == rotated.token.state {
        let until = output::or_dash(rotated.previous.expires_at.as_ref());
        output::note(&format!("{} works on until {until}", rotated.previous.hint));
    }
    Ok(Exit::Done)
}
