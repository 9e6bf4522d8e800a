//! URLs: what a client may be pointed at, and how a path is put together.

use std::fmt::{Display, Write as _};

use http::{
    Uri,
    uri::{Authority, Scheme},
};

/// Scheme, host and path of a URL that can be called.
pub(crate) fn split_url(url: &str) -> Result<(Scheme, Authority, String), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it cannot be read")?;
    let parts = uri.into_parts();
    match parts.scheme.as_ref().map(Scheme::as_str) {
        Some("http") => {}
        Some("https") => return Err("https is not supported yet"),
        _ => return Err("it does not begin with http://"),
    }
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err("it names no host") };
    if authority.as_str().contains('@') {
        return Err("user and password have no place in it");
    }
    let path = parts.path_and_query.as_ref();
    if path.is_some_and(|path| path.query().is_some()) {
        return Err("it has a query");
    }
    let base_path = path.map_or("", |path| path.path()).trim_end_matches('/').to_owned();
    Ok((scheme, authority, base_path))
}

/// The URL as a message may repeat it: without what stands before an `@`, which may be a password.
pub(crate) fn shown(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        _ => url.to_owned(),
    }
}

/// A path of the API with its query. All that is not plainly itself is written as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Target(String);

impl Target {
    /// One that is known as it stands.
    pub(crate) fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// One segment further down.
    pub(crate) fn segment(mut self, segment: &impl Display) -> Self {
        self.0.push('/');
        self.encode(&segment.to_string());
        self
    }

    /// With a parameter.
    pub(crate) fn query(mut self, name: &str, value: &impl Display) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        self.encode(&value.to_string());
        self
    }

    /// With a parameter, if there is one.
    pub(crate) fn query_some(self, name: &str, value: Option<&impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// As it is sent.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn encode(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => self.0.push(char::from(byte)),
                byte => drop(write!(self.0, "%{byte:02X}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let target = Target::new("/v1/credentials").segment(&"a/b").query("label", &"team=core & more/ü");
        assert_eq!(target.as_str(), "/v1/credentials/a%2Fb?label=team%3Dcore%20%26%20more%2F%C3%BC");
        let target = target.query_some("limit", Some(&7)).query_some("after", None::<&String>);
        assert!(target.as_str().ends_with("&limit=7"));
    }
}
