//! From where a request's client comes, as the proxy beside the sidecar says it.
//!
//! The proxy names the address in exactly one header, which the sidecar is told of. What cannot be relied on is nobody's
//! address, and never a reason to refuse: a token that is bound to addresses is then denied, and any other is not.

use std::net::{IpAddr, SocketAddr};

use axum::http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, CONNECTION, FORWARDED},
};
use jeton_host::serve::Peer;

/// The name of a header in which a proxy writes its client's address.
///
/// # Errors
/// For what cannot be such a name, with what to write in its place.
pub fn client_address_header(text: &str) -> Result<HeaderName, &'static str> {
    let name: HeaderName = text.parse().map_err(|_| "this is no header's name; write it like X-Real-IP")?;
    if name.as_str().contains('_') {
        return Err("a name with `_` is one that clients pass off as another; write it with `-`, like X-Real-IP");
    }
    if name == AUTHORIZATION || name == CONNECTION || name == FORWARDED || name.as_str().starts_with("x-jeton-") {
        return Err("this header says something else; name one that holds an address alone, like X-Real-IP");
    }
    Ok(name)
}

/// Where the client's address is found.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientAddress {
    /// The header in which the proxy writes it; without one the client is whoever is connected.
    header: Option<HeaderName>,
}

impl ClientAddress {
    pub(super) const fn new(header: Option<HeaderName>) -> Self {
        Self { header }
    }

    /// The address, if it can be relied on.
    pub(super) fn of(&self, headers: &HeaderMap, peer: Option<Peer>) -> Option<IpAddr> {
        match &self.header {
            None => peer.map(|Peer(address)| address.ip().to_canonical()),
            Some(header) => named(headers, header),
        }
    }
}

/// The address in a header that comes once. Each proxy appends whom it saw, so of a list the last one is what the nearest
/// proxy itself says; the others are what it was told.
fn named(headers: &HeaderMap, header: &HeaderName) -> Option<IpAddr> {
    let alias = |name: &str| name != header.as_str() && name.replace('_', "-") == header.as_str();
    // `http` keeps names in lower case. An alias, or a `Connection` that names the header, comes from a client that tries
    // to be taken for another: what the proxy wrote may be gone.
    if headers.keys().any(|name| alias(name.as_str())) {
        return None;
    }
    for hop in headers.get_all(CONNECTION) {
        let named = |name: &str| name.trim().replace('_', "-").eq_ignore_ascii_case(header.as_str());
        if hop.to_str().ok()?.split(',').any(named) {
            return None;
        }
    }
    let mut values = headers.get_all(header).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let last = value.to_str().ok()?.rsplit(',').next()?.trim();
    // Some write the port too.
    let address = last.parse::<IpAddr>().or_else(|_| last.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(lines: &[(&str, &str)], expect: Option<&str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let peer = Some(Peer("127.0.0.1:9".parse().unwrap()));
        let configured = ClientAddress::new(Some(HeaderName::from_static("x-real-ip")));
        assert_eq!(configured.of(&headers, peer), expect.map(|text| text.parse().unwrap()), "{lines:?}");
    }

    #[test]
    fn one_header_says_it() {
        check(&[("x-real-ip", "203.0.113.7")], Some("203.0.113.7"));
        check(&[("x-real-ip", " 2001:db8::7 ")], Some("2001:db8::7"));
        check(&[("x-real-ip", "::ffff:203.0.113.7")], Some("203.0.113.7"));
        check(&[("x-real-ip", "203.0.113.7:5512")], Some("203.0.113.7"));
        check(&[("x-real-ip", "[2001:db8::7]:5512")], Some("2001:db8::7"));
        check(&[("x-real-ip", "10.0.0.1, 203.0.113.7")], Some("203.0.113.7"));
    }

    #[test]
    fn whatever_else_is_nobody() {
        check(&[], None);
        check(&[("x-forwarded-for", "203.0.113.7")], None);
        for bad in ["", "unknown", "203.0.113.7,", "203.0.113.7, _hidden", "203.0.113", "localhost", "2001:db8::7%eth0"]
        {
            check(&[("x-real-ip", bad)], None);
        }
        check(&[("x-real-ip", "203.0.113.7"), ("x-real-ip", "203.0.113.7")], None);
        check(&[("x-real-ip", "203.0.113.7"), ("x_real_ip", "10.0.0.1")], None);
        check(&[("x-real-ip", "203.0.113.7"), ("connection", "close, X-Real-IP")], None);
        check(&[("x-real-ip", "203.0.113.7"), ("connection", "close")], Some("203.0.113.7"));
    }

    #[test]
    fn what_can_be_that_header() {
        assert_eq!(client_address_header("X-Real-IP").unwrap(), "x-real-ip");
        for bad in ["", "X Real IP", "X_Real_IP", "Authorization", "Connection", "Forwarded", "X-Jeton-Subject"] {
            assert!(client_address_header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_a_header_it_is_whoever_is_connected() {
        let mut headers = HeaderMap::new();
        headers.insert("x-real-ip", HeaderValue::from_static("203.0.113.7"));
        let peer = Peer("[::ffff:192.0.2.1]:9".parse().unwrap());
        assert_eq!(ClientAddress::default().of(&headers, Some(peer)), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(ClientAddress::default().of(&headers, None), None);
    }
}
