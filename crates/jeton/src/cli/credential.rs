//! `jeton credential`.

use jeton_api::{credential::CredentialView, token::TokenView};

use super::{client, credential, pages, token};
use crate::{
    args::CredentialCommand,
    exit::{Exit, Outcome},
    output,
};

pub async fn run(command: CredentialCommand, json: bool) -> Outcome {
    match command {
        CredentialCommand::List { namespace, connection } => {
            let all: Vec<CredentialView> =
                pages(&client(&connection)?, &format!("/v1/namespaces/{namespace}/credentials")).await?;
            if json {
                output::document(&all)?;
            } else {
                let rows: Vec<[String; 5]> = all
                    .iter()
                    .map(|view| {
                        [
                            format!("{}/{}", view.namespace, view.name),
                            view.id.to_string(),
                            output::or_dash(view.subject.as_ref()),
                            view.scopes.to_string(),
                            view.created_at.to_string(),
                        ]
                    })
                    .collect();
                output::table(["CREDENTIAL", "ID", "SUBJECT", "SCOPES", "CREATED"], &rows)?;
            }
        }
        CredentialCommand::Show { credential: wanted, connection } => {
            let client = client(&connection)?;
            let view = credential(&client, &wanted).await?;
            let tokens: Vec<TokenView> = pages(&client, &format!("/v1/credentials/{}/tokens", view.id)).await?;
            if json {
                output::document(&serde_json::json!({ "credential": view, "tokens": tokens }))?;
            } else {
                output::line(&format!("credential  {}/{}", view.namespace, view.name))?;
                output::line(&format!("id          {}", view.id))?;
                output::line(&format!("subject     {}", output::or_dash(view.subject.as_ref())))?;
                output::line(&format!("scopes      {}", view.scopes))?;
                output::line(&format!("ttl         {}", output::or_dash(view.ttl.as_ref())))?;
                output::line(&format!("created     {}", view.created_at))?;
                token::print(&tokens)?;
            }
        }
    }
    Ok(Exit::Done)
}
