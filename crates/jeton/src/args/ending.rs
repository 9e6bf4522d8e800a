//! The arguments of what ends authority, or gives it back.

use std::path::PathBuf;

use clap::Args;
use jeton_api::{credential::CredentialState, revocation::Reason};
use jeton_types::{
    AddressRange, CredentialRef, Freshness, Label, NamespaceName, Revision, Scope, Span, Subject, TokenId, UnixTime,
};

use super::{Connection, shy::Shy};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("selector").required(true).multiple(true))]
pub struct RevokeArgs {
    /// NS/NAME or cred_…: ends all tokens of the credential.
    #[arg(group = "selector", value_parser = Shy::<CredentialRef>::new())]
    pub credential: Option<CredentialRef>,
    /// Ends one token, by its public id.
    #[arg(long, group = "selector", value_name = "TOK")]
    pub token_id: Option<TokenId>,
    /// Ends the token whose secret is in this file, `-` for standard input.
    #[arg(long, group = "selector", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Ends tokens of credentials that speak for this one.
    #[arg(long, group = "selector", value_name = "S")]
    pub subject: Option<Subject>,
    /// Ends tokens of credentials with this label; of several, with all.
    #[arg(long = "label", group = "selector", value_name = "K=V")]
    pub labels: Vec<Label>,
    /// Ends tokens issued before this moment: 2026-01-02 or 2026-01-02T03:04:05Z.
    #[arg(long, group = "selector", value_name = "T")]
    pub issued_before: Option<Moment>,
    /// Only in this namespace. What is given narrows what is ended: all of it must be so.
    #[arg(long, value_name = "NS")]
    pub namespace: Option<NamespaceName>,
    /// Only say what would end.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask, however many tokens there are.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub ending: EndingArgs,
    #[command(flatten)]
    pub connection: Connection,
}

/// What everything takes that ends authority.
#[derive(Debug, Args)]
pub struct EndingArgs {
    /// Wait until the receipt is complete: until no verifier accepts it any more.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait.
    #[arg(long, default_value = "30s", value_name = "D")]
    pub timeout: Span,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<Reason>,
}

#[derive(Debug, Args)]
pub struct BurnArgs {
    /// The file that holds the token, `-` for standard input. Never the token itself.
    #[arg(value_name = "-|FILE")]
    pub token: PathBuf,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<Reason>,
    /// The authority's address.
    #[arg(long, env = "JETON_URL", default_value = "http://127.0.0.1:7400", value_name = "URL")]
    pub url: String,
}

#[derive(Debug, Args)]
pub struct CredentialListArgs {
    /// The namespace.
    pub namespace: NamespaceName,
    /// Those that speak for this one.
    #[arg(long, value_name = "S")]
    pub subject: Option<Subject>,
    /// Those that have this label; of several, all.
    #[arg(long = "label", value_name = "K=V")]
    pub labels: Vec<Label>,
    /// Those in this state: active, disabled or deleted.
    #[arg(long, value_name = "STATE")]
    pub state: Option<CredentialState>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct CredentialUpdateArgs {
    /// NS/NAME or cred_….
    #[arg(value_parser = Shy::<CredentialRef>::new())]
    pub credential: CredentialRef,
    /// Whom it is to speak for.
    #[arg(long, group = "change", value_name = "S")]
    pub subject: Option<Subject>,
    /// It is to speak for nobody.
    #[arg(long, group = "change", conflicts_with = "subject")]
    pub no_subject: bool,
    /// All that it is to be allowed; may be given several times.
    #[arg(long = "scope", group = "change", value_name = "X")]
    pub scopes: Vec<Scope>,
    /// It is to be allowed nothing.
    #[arg(long, group = "change", conflicts_with = "scopes")]
    pub no_scopes: bool,
    /// All its labels; may be given several times.
    #[arg(long = "label", group = "change", value_name = "K=V")]
    pub labels: Vec<Label>,
    /// It is to have no labels.
    #[arg(long, group = "change", conflicts_with = "labels")]
    pub no_labels: bool,
    /// How long tokens to come live.
    #[arg(long, group = "change", value_name = "D")]
    pub ttl: Option<Span>,
    /// Tokens to come live as long as the namespace says.
    #[arg(long, group = "change", conflicts_with = "ttl")]
    pub no_ttl: bool,
    /// All from where its tokens may be presented, such as 10.0.0.0/8; may be given several times.
    #[arg(long = "address", group = "change", value_name = "CIDR")]
    pub addresses: Vec<AddressRange>,
    /// Its tokens may be presented from anywhere.
    #[arg(long, group = "change", conflicts_with = "addresses")]
    pub no_addresses: bool,
    /// When the tokens there are now expire at the latest: 2026-01-02 or 2026-01-02T03:04:05Z.
    #[arg(long, group = "change", value_name = "T")]
    pub expires_at: Option<Moment>,
    /// Only if it is as it was at this revision, as `show` prints it.
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    pub if_match: Option<Revision>,
    #[command(flatten)]
    pub ending: EndingArgs,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct CredentialEndArgs {
    /// NS/NAME or cred_….
    #[arg(value_parser = Shy::<CredentialRef>::new())]
    pub credential: CredentialRef,
    /// Only if it is as it was at this revision, as `show` prints it.
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    pub if_match: Option<Revision>,
    #[command(flatten)]
    pub ending: EndingArgs,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct NamespaceEndArgs {
    /// Its name.
    pub namespace: NamespaceName,
    /// Only if it is as it was at this revision, as `show` prints it.
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    pub if_match: Option<Revision>,
    #[command(flatten)]
    pub ending: EndingArgs,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct NamespaceUpdateArgs {
    /// Its name.
    pub namespace: NamespaceName,
    /// What a verifier does that is cut off: `strict` or `grace=D`. A shorter grace has a receipt.
    #[arg(long, group = "change", value_name = "POLICY")]
    pub freshness: Option<Freshness>,
    /// How long a token to come lives that says nothing.
    #[arg(long, group = "change", value_name = "D")]
    pub default_ttl: Option<Span>,
    /// A token to come that says nothing lives for ever.
    #[arg(long, group = "change", conflicts_with = "default_ttl")]
    pub no_default_ttl: bool,
    /// Only if it is as it was at this revision, as `show` prints it.
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    pub if_match: Option<Revision>,
    #[command(flatten)]
    pub ending: EndingArgs,
    #[command(flatten)]
    pub connection: Connection,
}

/// A moment as a person writes it: a day, which begins at midnight in UTC, or RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub UnixTime);

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const DAY: usize = "2026-01-02".len();
        let wrong = |_| format!("`{text}` is no moment: write 2026-01-02 or 2026-01-02T03:04:05Z");
        let found: jiff::Timestamp = if text.len() == DAY {
            format!("{text}T00:00:00Z").parse().map_err(wrong)?
        } else {
            text.parse().map_err(wrong)?
        };
        let micros = u64::try_from(found.as_microsecond()).map_err(|_| format!("`{text}` is before 1970"))?;
        Ok(Self(UnixTime::from_micros(micros)))
    }
}

/// A revision, or the `ETag` that it makes.
fn revision(text: &str) -> Result<Revision, String> {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    inner.parse().ok().and_then(Revision::new).ok_or("a revision is a number, as `show` prints it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let secs = |text: &str| text.parse::<Moment>().map(|moment| moment.0.as_micros() / 1_000_000);
        assert_eq!(secs("1970-01-02"), Ok(86_400));
        assert_eq!(secs("1970-01-02T00:00:01Z"), Ok(86_401));
        assert_eq!(secs("1970-01-02T01:00:01+01:00"), Ok(86_401));
        for wrong in ["", "yesterday", "1970-13-01", "1970-01-02T00:00:01", "1969-12-31"] {
            assert!(secs(wrong).is_err(), "{wrong}");
        }
    }
}
