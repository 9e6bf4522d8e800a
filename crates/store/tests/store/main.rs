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
mod collecting;
mod compared;
mod concurrency;
mod ending;
mod heads;
mod history;
mod issuing;
mod kill;
mod once;
mod opening;
mod retention;
mod revoking;
mod sessions;
mod usage;
mod world;

/// A method of the port that no case asks for is a method that nothing is known of.
#[test]
fn every_method_has_a_case() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let port = std::fs::read_to_string(here.join("src/port.rs")).unwrap();
    let methods = port.split("\n    fn ").skip(1).map(|rest| rest.split(['(', '<']).next().unwrap());
    let mut cases = String::new();
    for folder in ["tests/store", "tests/store/compared"] {
        for file in std::fs::read_dir(here.join(folder)).unwrap() {
            let path = file.unwrap().path();
            // What is of files and processes is of SQLite alone.
            if path.is_file() && !path.ends_with("kill.rs") && !path.ends_with("opening.rs") {
                cases += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    let asked = |method: &&str| cases.contains(&format!(".{method}("));
    let missing: Vec<&str> = methods.clone().filter(|method| !asked(method)).collect();
    assert!(methods.count() > 30 && missing.is_empty(), "no case for {missing:?}");
}

/// The cases of every file.
const CASES: &[&[&str]] = &[
    audit::CASES,
    collecting::CASES,
    concurrency::CASES,
    ending::CASES,
    heads::CASES,
    history::CASES,
    issuing::CASES,
    once::CASES,
    retention::CASES,
    revoking::CASES,
    sessions::CASES,
    usage::CASES,
];
