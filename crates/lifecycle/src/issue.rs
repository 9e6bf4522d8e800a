//! What is decided when a token is issued.

use jeton_types::{
    AddressList, Span, UnixTime,
    limits::{TTL_MAX, TTL_MIN},
};

use crate::Refusal;

/// From when a token issued at `now` is expired: by the time to live that was asked for, else by the namespace's
/// default, else never.
///
/// # Errors
/// [`Refusal::Ttl`] if that time is out of range.
pub fn expiry(ttl: Option<Span>, default_ttl: Option<Span>, now: UnixTime) -> Result<Option<UnixTime>, Refusal> {
    let Some(ttl) = ttl.or(default_ttl) else { return Ok(None) };
    ttl_check(ttl)?;
    Ok(Some(now.plus(ttl.duration())))
}

/// Whether a time to live is in range, as a namespace's default must be as well.
///
/// # Errors
/// [`Refusal::Ttl`] if it is not.
pub fn ttl_check(ttl: Span) -> Result<(), Refusal> {
    if (TTL_MIN..=TTL_MAX).contains(&ttl.duration()) { Ok(()) } else { Err(Refusal::Ttl(ttl)) }
}

/// Whether a credential may be given this list. In the built-in namespace none may: its tokens are presented to the
/// authority alone, which sees the nearest proxy and not who stands behind it.
///
/// # Errors
/// [`Refusal::AddressesBuiltIn`].
pub const fn addresses_check(built_in: bool, addresses: &AddressList) -> Result<(), Refusal> {
    if built_in && !addresses.is_anywhere() { Err(Refusal::AddressesBuiltIn) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_micros(1_000_000);

    fn check(ttl: Option<&str>, default: Option<&str>, expect: Result<Option<u64>, &str>) {
        let span = |text: Option<&str>| text.map(|text| text.parse::<Span>().unwrap());
        let found = expiry(span(ttl), span(default), NOW).map(|at| at.map(UnixTime::as_secs));
        assert_eq!(found.map_err(|refusal| refusal.to_string()), expect.map_err(str::to_owned), "{ttl:?} {default:?}");
    }

    #[test]
    fn the_nearer_word_counts() {
        check(None, None, Ok(None));
        check(None, Some("1h"), Ok(Some(3_601)));
        check(Some("10s"), Some("1h"), Ok(Some(11)));
        check(Some("3650d"), None, Ok(Some(315_360_001)));
        check(Some("9s"), Some("1h"), Err("a ttl is from 10s to 3650d, and 9s is not"));
        check(Some("0s"), None, Err("a ttl is from 10s to 3650d, and 0s is not"));
        check(Some("3650d1ms"), None, Err("a ttl is from 10s to 3650d, and 3650d1ms is not"));
    }
}
