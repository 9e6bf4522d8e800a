//! What a panic prints: where, and what, but no secret.

use std::panic::PanicHookInfo;

use jeton_types::token::redact;

/// From now on panics are told in this form. A message that was put together while running may hold anything, so whatever
/// may be a token is left out of it.
pub fn install() {
    std::panic::set_hook(Box::new(|info| crate::output::note(&told(info))));
}

fn told(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let thread = std::thread::current();
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    let trace = std::backtrace::Backtrace::capture();
    let trace = match trace.status() {
        std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    };
    format!(
        "jeton: a bug: thread `{}` panicked at {at}: {}; please report it{trace}",
        thread.name().unwrap_or("?"),
        redact(message.unwrap_or("no message")),
    )
}

#[cfg(test)]
mod tests {
    use std::{
        panic::catch_unwind,
        sync::{Arc, Mutex},
    };

    use jeton_types::{Prefix, Revision, token};

    use super::*;

    #[test]
    fn a_panic_tells_no_secret() {
        let minted = token::mint(&Prefix::built_in(), Revision::ZERO, [7; token::RANDOM_BYTES]);
        let secret = minted.text.expose().clone();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (sink, before, thread) = (Arc::clone(&said), std::panic::take_hook(), std::thread::current().id());
        // Other tests panic as they like meanwhile.
        std::panic::set_hook(Box::new(move |info| match std::thread::current().id() == thread {
            true => sink.lock().unwrap().push(told(info)),
            false => before(info),
        }));
        let formatted = secret.clone();
        catch_unwind(move || panic!("no such token: {formatted}")).unwrap_err();
        let name = secret.clone();
        catch_unwind(move || name.parse::<u64>().map_err(|_| name).unwrap()).unwrap_err();
        catch_unwind(|| panic!("a plain one")).unwrap_err();
        let _ = std::panic::take_hook();
        let said = said.lock().unwrap().clone();
        assert_eq!(said.len(), 3);
        assert!(said[0].contains("no such token: jtn_…") && said[0].contains("panics.rs:"), "{}", said[0]);
        assert!(said[1].contains("jtn_…"), "{}", said[1]);
        assert!(said[2].contains("a plain one"), "{}", said[2]);
        assert!(!said.iter().any(|text| text.contains(&secret[10..22])));
    }
}
