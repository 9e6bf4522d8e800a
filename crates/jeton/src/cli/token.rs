//! `jeton token`.

use jeton_api::{token::TokenView, usage::UsageView};

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
    output::table(["TOKEN", "VERSION", "HINT", "STAGE", "STATE", "ISSUED", "EXPIRES", "REVOCATION"], &rows)?;
    tokens.iter().filter_map(|view| view.usage.as_ref()).try_for_each(print_usage)
}

/// What is known of a token's use, and until when.
fn print_usage(usage: &UsageView) -> Result<(), Failure> {
    output::line("")?;
    output::line(&format!("use of {}", usage.token_id))?;
    output::line(&format!("  count        {}", usage.count))?;
    output::line(&format!("  first used   {}", output::or_dash(usage.first_used_at.as_ref())))?;
    output::line(&format!("  last used    {}", output::or_dash(usage.last_used_at.as_ref())))?;
    let known = usage
        .known_until
        .as_ref()
        .map_or_else(|| "not known: a verifier went away without its last report".to_owned(), ToString::to_string);
    output::line(&format!("  known until  {known}"))?;
    let Some(after) = &usage.after_end else { return Ok(()) };
    output::line(&format!("  after its end it was presented {} times, last at {}:", after.count, after.last_at))?;
    for presenter in &after.presenters {
        let from = presenter.address.map_or_else(|| "an address not known".to_owned(), |address| address.to_string());
        let (verifier, count, last) = (&presenter.verifier, presenter.count, &presenter.last_at);
        output::line(&format!("    from {from} at {verifier}, {count} times, last at {last}"))?;
    }
    Ok(())
}
