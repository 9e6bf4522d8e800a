//! The command line, declared once.

mod ending;
mod shy;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};
use http::HeaderName;
use jeton_edge::sidecar::client_address_header;
use jeton_types::{
    AddressRange, CredentialName, CredentialRef, Freshness, Hash32, Label, NamespaceName, Prefix, Revision,
    RevocationId, Scope, Span, Subject, TokenId, VerifierName,
};

use shy::Shy;

pub use ending::{
    BurnArgs, CredentialEndArgs, CredentialListArgs, CredentialUpdateArgs, EndingArgs, NamespaceEndArgs,
    NamespaceUpdateArgs, RevokeArgs,
};

/// Self-hosted API tokens: issued fast, verified in memory, rotated under traffic, revoked with proof.
#[derive(Debug, Parser)]
#[command(name = "jeton", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Print one JSON document on standard output; progress goes to standard error.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the authority: HTTP API and feed.
    Serve(ServeArgs),
    /// Run a verifier beside a proxy or service.
    Sidecar(SidecarArgs),
    /// Play a whole token's life with real processes and real traffic, in about a minute.
    Demo(DemoArgs),
    /// Create, list and show namespaces.
    #[command(subcommand)]
    Namespace(NamespaceCommand),
    /// Issue a token: prints the secret alone, once.
    Issue(IssueArgs),
    /// List and show credentials.
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// List and show tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Mint a credential's next token; the old one works on until the overlap ends.
    Rotate(RotateArgs),
    /// End tokens, and wait for the proof that nobody accepts them any more.
    Revoke(RevokeArgs),
    /// End a token that you hold, for good: needs no other right.
    Burn(BurnArgs),
    /// Ask whether a token is good, now.
    Verify(VerifyArgs),
    /// Print, save or check the receipt of a revocation.
    Receipt(ReceiptArgs),
    /// Show, check and save the audit trail: who did what, when, from where.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Put right what can only be put right while the authority is stopped.
    #[command(subcommand)]
    Doctor(DoctorCommand),
    /// Print the authority's public keys as a JWK set, past ones too.
    Keys(Connection),
    /// List the verifiers: who serves what, how far behind, and until when.
    Verifiers(Connection),
    /// Print what happens, as it happens, until interrupted; with --json one document a line.
    Watch(WatchArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// A consumer of the demo.
    #[command(hide = true, name = "demo-consumer")]
    DemoConsumer(DemoConsumerArgs),
    /// The control of the demo: what a cache with a TTL does.
    #[command(hide = true, name = "demo-control")]
    DemoControl(DemoControlArgs),
}

/// Where the authority is, and as whom to speak to it.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The authority's address.
    #[arg(long, env = "JETON_URL", default_value = "http://127.0.0.1:7400", value_name = "URL")]
    pub url: String,
    /// The file that holds your token of the namespace `jeton` (mode 0600).
    #[arg(long, env = "JETON_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where state lives; created at the first start. [default: ./jeton-data]
    #[arg(long, env = "JETON_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where signing keys live. [default: keys/ in the data folder]
    #[arg(long, env = "JETON_KEYS_DIR", value_name = "DIR")]
    pub keys_dir: Option<PathBuf>,
    /// Where the first start writes the root token. [default: root.token in the data folder]
    #[arg(long, env = "JETON_ROOT_TOKEN_FILE", value_name = "FILE")]
    pub root_token_file: Option<PathBuf>,
    /// Address of the HTTP API. [default: 127.0.0.1:7400]
    #[arg(long, env = "JETON_HTTP", value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// Address of the feed. [default: 127.0.0.1:7401]
    #[arg(long, env = "JETON_FEED", value_name = "ADDR")]
    pub feed: Option<SocketAddr>,
    /// Serve plain text on addresses beyond loopback.
    #[arg(long)]
    pub plaintext: bool,
    /// What is held back of the disk so that tokens can be revoked when it is full, in MiB. [default: 32]
    #[arg(long, env = "JETON_BALLAST_MIB", value_name = "MIB")]
    pub ballast_mib: Option<u32>,
    /// How long records stay in the log, at least 1m; a verifier or watcher that comes back later begins anew. [default: 7d]
    #[arg(long, env = "JETON_LOG_RETENTION", value_name = "D")]
    pub log_retention: Option<Span>,
    /// How many records stay in the log, at least 1000, however young they are. [default: 1000000]
    #[arg(long, env = "JETON_LOG_RECORDS", value_name = "N")]
    pub log_records: Option<u64>,
    /// Let no verifier process end the session of the one before it in the same state folder: silence decides instead.
    #[arg(long)]
    pub no_succession: bool,
    /// Settings in TOML: the names of these flags with underscores. Flags and environment win over it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SidecarArgs {
    /// The authority's feed, such as http://127.0.0.1:7401.
    #[arg(long, env = "JETON_FEED_URL", value_name = "URL")]
    pub feed: String,
    /// The namespaces to serve.
    #[arg(long, required = true, value_delimiter = ',', value_name = "NS")]
    pub namespace: Vec<NamespaceName>,
    /// The file that holds the sidecar's own token, with scope verifier@NS (mode 0600); read again when it changes.
    #[arg(long, env = "JETON_TOKEN_FILE", value_name = "FILE")]
    pub token_file: PathBuf,
    /// Address for the proxy or service beside it.
    #[arg(long, default_value = "127.0.0.1:7410", value_name = "ADDR")]
    pub http: SocketAddr,
    /// The verifier's name in receipts. [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub id: Option<VerifierName>,
    /// How long to serve on after SIGTERM before saying goodbye.
    #[arg(long, default_value = "5s", value_name = "D")]
    pub drain: Span,
    /// A folder of its own on a local disk. A process that starts with it ends the session of the one before it at once, and
    /// goes on from what that one held.
    #[arg(long, env = "JETON_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The one header in which the proxy beside it writes the client's address, such as X-Real-IP. [default: whoever is
    /// connected is the client]
    #[arg(long, env = "JETON_CLIENT_ADDRESS_HEADER", value_name = "NAME", value_parser = client_address_header)]
    pub client_address_header: Option<HeaderName>,
    /// Serve plain text on an address beyond loopback.
    #[arg(long)]
    pub plaintext: bool,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Play all acts without a terminal, print a table, and exit non-zero if anything failed.
    #[arg(long)]
    pub headless: bool,
    /// How long the traffic runs, at the least.
    #[arg(long = "for", default_value = "30s", value_name = "D")]
    pub length: Span,
}

#[derive(Debug, Subcommand)]
pub enum NamespaceCommand {
    /// Create a namespace and say what its choice means.
    Create(NamespaceCreateArgs),
    /// List the namespaces.
    List(Connection),
    /// Show one.
    Show {
        /// Its name.
        namespace: NamespaceName,
        #[command(flatten)]
        connection: Connection,
    },
    /// Change what its verifiers do when they are cut off, or how long its tokens live.
    Update(NamespaceUpdateArgs),
    /// Switch one off as a whole: all its tokens are refused until it is enabled again.
    Disable(NamespaceEndArgs),
    /// Switch one on again.
    Enable(NamespaceEndArgs),
}

#[derive(Debug, Args)]
pub struct NamespaceCreateArgs {
    /// Its name.
    pub namespace: NamespaceName,
    /// What its tokens begin with, such as acme_live.
    #[arg(long, value_name = "P")]
    pub prefix: Prefix,
    /// What a verifier does that is cut off: `strict` or `grace=D`.
    #[arg(long, default_value = "grace=5m", value_name = "POLICY")]
    pub freshness: Freshness,
    /// How long a token lives that says nothing. Without it: for ever.
    #[arg(long, value_name = "D")]
    pub default_ttl: Option<Span>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct IssueArgs {
    /// NS/NAME of the new credential.
    #[arg(value_name = "NS/NAME", value_parser = Shy::<FullName>::new())]
    pub credential: FullName,
    /// Whom it speaks for.
    #[arg(long, value_name = "S")]
    pub subject: Option<Subject>,
    /// What it may do; may be given several times.
    #[arg(long = "scope", value_name = "X")]
    pub scopes: Vec<Scope>,
    /// A label; may be given several times.
    #[arg(long = "label", value_name = "K=V")]
    pub labels: Vec<Label>,
    /// How long its tokens live.
    #[arg(long, value_name = "D")]
    pub ttl: Option<Span>,
    /// From where its tokens may be presented, such as 10.0.0.0/8; may be given several times. Without it: anywhere.
    #[arg(long = "address", value_name = "CIDR")]
    pub addresses: Vec<AddressRange>,
    /// Write the secret to this file (mode 0600) and print nothing of it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Subcommand)]
pub enum CredentialCommand {
    /// List the credentials of a namespace.
    List(CredentialListArgs),
    /// Show one with its tokens.
    Show {
        /// NS/NAME or cred_….
        #[arg(value_parser = Shy::<CredentialRef>::new())]
        credential: CredentialRef,
        #[command(flatten)]
        connection: Connection,
    },
    /// Change one: what is not named stays. What it loses has a receipt.
    Update(CredentialUpdateArgs),
    /// Switch one off: its tokens are refused until it is enabled again.
    Disable(CredentialEndArgs),
    /// Switch one on again.
    Enable(CredentialEndArgs),
    /// Delete one and end its tokens, for good. Its name stays taken.
    Delete(CredentialEndArgs),
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List the tokens of a credential.
    List {
        /// NS/NAME or cred_….
        #[arg(value_parser = Shy::<CredentialRef>::new())]
        credential: CredentialRef,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one.
    Show {
        /// tok_….
        token: TokenId,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Debug, Args)]
pub struct RotateArgs {
    /// NS/NAME or cred_….
    #[arg(value_parser = Shy::<CredentialRef>::new())]
    pub credential: CredentialRef,
    /// How long the old token works on beside the new one.
    #[arg(long, default_value = "1h", value_name = "D")]
    pub overlap: Span,
    /// Write the new secret to this file (mode 0600) and print nothing of it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The file that holds the token, `-` for standard input. Never the token itself.
    #[arg(value_name = "-|FILE")]
    pub token: PathBuf,
    /// What it must be allowed to do; may be given several times.
    #[arg(long = "scope", value_name = "X")]
    pub scopes: Vec<Scope>,
    /// From where it was presented.
    #[arg(long, value_name = "ADDRESS")]
    pub client_address: Option<IpAddr>,
    /// The answer must rest on all there is at or below this revision; else it is stale.
    #[arg(long, value_name = "R")]
    pub at_least_revision: Option<Revision>,
    /// The answer must rest on all that was committed until this long ago; else it is stale.
    #[arg(long, value_name = "D")]
    pub max_age: Option<Span>,
    /// Ask this sidecar in place of the authority.
    #[arg(long, value_name = "URL")]
    pub at: Option<String>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct ReceiptArgs {
    /// rev_…: the revocation.
    #[arg(required_unless_present = "check", conflicts_with = "check", value_name = "REVOCATION")]
    pub revocation: Option<RevocationId>,
    /// Save the signed receipt (JWS) to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub out: Option<PathBuf>,
    /// Check a saved receipt: signature and evidence.
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// The authority's public keys, saved by `jeton keys`; with them a check needs no authority.
    #[arg(long, value_name = "FILE", requires = "check", conflicts_with = "revocation")]
    pub keys: Option<PathBuf>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List the entries, oldest first.
    List(AuditListArgs),
    /// Check the chain of hashes: whatever was altered, left out or moved is found and named.
    Verify(AuditVerifyArgs),
    /// Write the entries as lines of JSON, to be checked anywhere and at any time.
    Export(AuditExportArgs),
}

#[derive(Debug, Args)]
pub struct AuditListArgs {
    /// Only of this namespace.
    #[arg(long, value_name = "NS")]
    pub namespace: Option<NamespaceName>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct AuditVerifyArgs {
    /// An export; with it no authority is needed. Without it, what the authority has.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The hash of the newest entry, as it was noted.
    #[arg(long, value_name = "HASH")]
    pub head: Option<Hash32>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct AuditExportArgs {
    /// Only of this namespace; then it cannot show whether entries are missing.
    #[arg(long, value_name = "NS")]
    pub namespace: Option<NamespaceName>,
    /// Write to this file (mode 0600) and not to standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Subcommand)]
pub enum DoctorCommand {
    /// Replace a root token that was lost; every earlier one ends.
    RootToken(DoctorRootTokenArgs),
}

#[derive(Debug, Args)]
pub struct DoctorRootTokenArgs {
    /// The authority's data folder. [default: ./jeton-data]
    #[arg(long, env = "JETON_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to write the new root token. [default: root.token in the data folder]
    #[arg(long, env = "JETON_ROOT_TOKEN_FILE", value_name = "FILE")]
    pub root_token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Only what concerns this namespace, and alarms.
    #[arg(long, value_name = "NS")]
    pub namespace: Option<NamespaceName>,
    /// Begin after this revision in place of now.
    #[arg(long, value_name = "REVISION")]
    pub after: Option<u64>,
    /// End after so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct DemoConsumerArgs {
    #[arg(long)]
    pub token_file: PathBuf,
    #[arg(long, value_delimiter = ',')]
    pub sidecars: Vec<SocketAddr>,
    #[arg(long)]
    pub every: Span,
}

#[derive(Debug, Args)]
pub struct DemoControlArgs {
    #[arg(long)]
    pub url: String,
    #[arg(long)]
    pub token_file: PathBuf,
    #[arg(long)]
    pub ttl: Span,
    #[arg(long)]
    pub http: SocketAddr,
}

/// `NS/NAME`.
#[derive(Debug, Clone)]
pub struct FullName {
    pub namespace: NamespaceName,
    pub name: CredentialName,
}

impl std::str::FromStr for FullName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) =
            text.split_once('/').ok_or("a credential is named NS/NAME, such as acme/billing".to_owned())?;
        Ok(Self {
            namespace: namespace.parse().map_err(|error: jeton_types::Invalid| error.to_string())?,
            name: name.parse().map_err(|error: jeton_types::Invalid| error.to_string())?,
        })
    }
}
