//! What the store promises, over the embedded one: each method and each refusal, order under concurrency, the log
//! against the state, and what is left after a kill.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

/// Runs each case over each backend, and says which there are.
macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        /// Every case of this file.
        pub(crate) const CASES: &[&str] = &[$(stringify!($case)),*];

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case::<jeton_store::Sqlite>().await;
            })*
        }

        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case::<jeton_store::Memory>().await;
            })*
        }
    };
}

mod audit;
mod compared;
mod concurrency;
mod ending;
mod heads;
mod history;
mod issuing;
mod kill;
mod once;
mod opening;
mod revoking;
mod sessions;
mod world;

/// The cases of every file.
const CASES: &[&[&str]] = &[
    audit::CASES,
    concurrency::CASES,
    ending::CASES,
    heads::CASES,
    history::CASES,
    issuing::CASES,
    once::CASES,
    revoking::CASES,
    sessions::CASES,
];
