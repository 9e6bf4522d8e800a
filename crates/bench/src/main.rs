//! How fast Jeton is beside what it could be at best, measured in one run on one machine.
//!
//! Each part measures the product and an anchor in turns: whatever else the machine does meets both. What is told is the
//! ratio of the two. The anchors are code of this crate, and the product is its release binary or its library.
//!
//! `cargo run --release -p jeton-bench -- all --write docs/performance.md` makes the page anew.
#![expect(clippy::expect_used, clippy::panic, reason = "a measurement that cannot be made ends here, and says why")]
#![expect(unreachable_pub, reason = "a binary exports nothing: here `pub` means for the rest of it")]

mod anchor;
mod auth;
mod figure;
mod issue;
mod load;
mod memory;
mod page;
mod process;
mod receipt;
mod setup;
mod verify;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{figure::Part, setup::Setup};

/// Measures Jeton against anchors and prints ratios.
#[derive(Debug, Parser)]
#[command(name = "jeton-bench")]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// The release binary; built first if not given.
    #[arg(long, global = true)]
    jeton: Option<PathBuf>,
    /// Where data folders are made: on the filesystem that is to be measured.
    #[arg(long, global = true, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Tiny sizes: shows that everything still runs, measures nothing.
    #[arg(long, global = true)]
    small: bool,
    /// The page whose section of figures is replaced (with `all`).
    #[arg(long, global = true)]
    write: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Durable issues per second over HTTP.
    Issue,
    /// CPU of one `/auth` request at a sidecar.
    Auth,
    /// From a revocation to its complete receipt.
    Receipt,
    /// Bytes per token in a replica.
    Memory,
    /// One verification in the process.
    Verify,
    /// All of them.
    All,
    /// An anchor or a measurement that needs a process of its own.
    #[command(subcommand, hide = true)]
    Child(Child),
}

#[derive(Debug, Subcommand)]
enum Child {
    /// A bare HTTP server.
    Bare {
        #[arg(long)]
        threads: usize,
    },
    /// A broadcast to all connections that waits for every acknowledgement.
    Broadcast,
    /// Fills a table and says by how much the process has grown.
    Fill {
        #[arg(long)]
        kind: memory::Kind,
        #[arg(long)]
        subjects: memory::Subjects,
        #[arg(long)]
        tokens: u64,
    },
}

fn main() {
    let cli = Cli::parse();
    // It is started in other folders than this one.
    let jeton = cli.jeton.as_ref().map(|path| {
        path.canonicalize()
            .unwrap_or_else(|error| panic!("--jeton {}: {error}; give the path of the program", path.display()))
    });
    let setup = || Setup::new(jeton.clone(), cli.folder.clone(), cli.small);
    let parts = match cli.what {
        What::Child(child) => return run(child),
        What::Issue => vec![issue::measure(&setup())],
        What::Auth => vec![auth::measure(&setup())],
        What::Receipt => vec![receipt::measure(&setup())],
        What::Memory => vec![memory::measure(&setup())],
        What::Verify => vec![verify::measure(&setup())],
        What::All => all(&setup()),
    };
    if let Some(path) = &cli.write {
        assert!(parts.len() > 1, "--write needs all figures of one run: use it with `all`");
        page::write(path, &parts);
    }
}

fn run(child: Child) {
    process::end_with_parent();
    match child {
        Child::Bare { threads } => anchor::bare::run(threads),
        Child::Broadcast => anchor::broadcast::run(),
        Child::Fill { kind, subjects, tokens } => memory::fill(kind, subjects, tokens),
    }
}

fn all(setup: &Setup) -> Vec<Part> {
    vec![
        issue::measure(setup),
        auth::measure(setup),
        receipt::measure(setup),
        memory::measure(setup),
        verify::measure(setup),
    ]
}
