//! `jeton token`.

use jeton_api::token::TokenView;

use super::client;
use crate::{
    args::TokenCommand,
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(command: TokenCommand, json: bool) -> Outcome {
    let tokens: Vec<TokenView> = match command {
        TokenCommand::List { credential: wanted, connection } => {
            let client = client(&connection)?;
            let id = client.credential(&wanted).await?.id;
            let tokens = client.tokens(id).all().await?;
            if json {
                output::document(&tokens)?;
                return Ok(Exit::Done);
            }
            tokens
        }
        TokenCommand::Show { token, connection } => {
            let view = client(&connection)?.token(token).await?;
            if json {
                output::document(&view)?;
                return Ok(Exit::Done);
            }
            vec![view]
        }
    };
    print(&tokens)?;
    Ok(Exit::Done)
}

pub fn print(tokens: &[TokenView]) -> Result<(), Failure> {
    let rows: Vec<[String; 8]> = tokens
        .iter()
        .map(|view| {
            [
                view.id.to_string(),
                view.version.to_string(),
                view.hint.clone(),
                view.stage.to_string(),
                view.state.to_string(),
                view.issued_at.to_string(),
                output::or_dash(view.expires_at.as_ref()),
                output::or_dash(view.revocation_id.as_ref()),
            ]
        })
        .collect();
    output::table(["TOKEN", "VERSION", "HINT", "STAGE", "STATE", "ISSUED", "EXPIRES", "REVOCATION"], &rows)
}
