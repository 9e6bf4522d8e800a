//! The parser of token texts meets strangers: total over bytes, and what it accepts has exactly one spelling.
#![no_main]

use jeton_types::{Prefix, token};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(parsed) = token::parse(bytes) {
        assert!(bytes.len() <= token::TEXT_BYTES_MAX);
        assert!(parsed.prefix.parse::<Prefix>().is_ok());
        let mut other = bytes.to_vec();
        for place in bytes.len() - token::TAIL_CHARS..bytes.len() {
            let kept = other[place];
            other[place] = if kept == b'0' { b'1' } else { b'0' };
            assert!(token::parse(&other).is_err(), "a changed character went unnoticed");
            other[place] = kept;
        }
    }
});
