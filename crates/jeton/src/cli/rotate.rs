//! `jeton rotate`.

use jeton_api::credential::{RotateRequest, RotatedView};

use super::{client, credential};
use crate::{
    args::RotateArgs,
    exit::{Exit, Outcome},
    output,
};

pub async fn run(args: RotateArgs, json: bool) -> Outcome {
    let client = client(&args.connection)?;
    let id = credential(&client, &args.credential).await?.id;
    let request = RotateRequest { overlap: Some(args.overlap) };
    let rotated: RotatedView = client.post(&format!("/v1/credentials/{id}/rotate"), &request).await?;
    if json {
        if let Some(out) = &args.out {
            output::save_secret(&rotated.token.secret.0, out)?;
        }
        output::document(&rotated)?;
    } else {
        output::secret(&rotated.token.secret.0, args.out.as_deref())?;
        let until = output::or_dash(rotated.previous.expires_at.as_ref());
        output::note(&format!("{} works on until {until}", rotated.previous.hint));
    }
    Ok(Exit::Done)
}
