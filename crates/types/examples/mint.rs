//! Prints well-formed tokens of fixed bytes, for dictionaries and corpora of scanners and fuzzers. They belong to nobody.

use jeton_types::{Revision, token};

fn main() {
    for (prefix, seed) in [("acme_live", 1_u8), ("jtn", 2), ("a1_b2", 3)] {
        let (Ok(prefix), Some(birth)) = (prefix.parse(), Revision::new(u64::from(seed))) else { continue };
        println!("{}", token::mint(&prefix, birth, [seed; token::RANDOM_BYTES]).text.expose());
    }
}
