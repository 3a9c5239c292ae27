//! Addresses of files, and which of them are allowed.

use std::net::IpAddr;

use ureq::http::Uri;

use super::Error;

/// The most characters that an address may have.
const MAX_LENGTH: usize = 8 << 10;

/// An `https` or `http` address with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    text: String,
    uri: Uri,
}

impl Address {
    /// The address in `text`.
    ///
    /// # Errors
    ///
    /// [`Error::Address`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |problem: &str| Error::Address { url: text.to_owned(), problem: problem.to_owned() };
        if text.len() > MAX_LENGTH {
            let url = text.chars().take(100).chain(['…']).collect();
            return Err(Error::Address { url, problem: "is too long for an address".to_owned() });
        }
        // The part after `#` is not sent.
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|_| refuse("is not an address: `https://HOST/PATH` is needed"))?;
        if !matches!(uri.scheme_str(), Some("https" | "http")) || uri.host().is_none_or(str::is_empty) {
            return Err(refuse("is not a supported address: `https://HOST/PATH` is needed"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refuse("has a user name in it, which imgraft does not send"));
        }
        Ok(Self { text: text.to_owned(), uri })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it has TLS.
    pub fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Its server: scheme, host and port.
    pub fn origin(&self) -> String {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        format!("{}://{}", self.uri.scheme_str().unwrap_or("https"), authority.to_ascii_lowercase())
    }

    /// Whether it is this machine: a loopback address, or `localhost`.
    pub fn is_loopback(&self) -> bool {
        match self.host().parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host().eq_ignore_ascii_case("localhost"),
        }
    }

    /// The address `location`, relative to this one (RFC 3986, 5.2).
    ///
    /// # Errors
    ///
    /// [`Error::Address`].
    pub fn join(&self, location: &str) -> Result<Self, Error> {
        let scheme = self.uri.scheme_str().unwrap_or("https");
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let has_scheme = location.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':'));
        let text = if has_scheme {
            location.to_owned()
        } else if let Some(rest) = location.strip_prefix("//") {
            format!("{scheme}://{rest}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{}", without_dots(location))
        } else if location.is_empty() || location.starts_with('#') {
            self.text.clone()
        } else if location.starts_with('?') {
            format!("{scheme}://{authority}{}{location}", self.uri.path())
        } else {
            let folder = self.uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{}", without_dots(&format!("{folder}/{location}")))
        };
        Self::parse(&text)
    }
}

/// A path without `.` and `..` (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let (path, rest) = path.split_at(end);
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let is_folder = path.ends_with("/.") || path.ends_with("/..");
    format!("/{}{}{rest}", parts.join("/"), if is_folder && !parts.is_empty() { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_seen_from_where_they_were_told() {
        // RFC 3986, 5.4, with another scheme.
        let base = Address::parse("https://a/b/c/d;p?q").unwrap();
        for (location, address) in [
            ("g", "https://a/b/c/g"),
            ("./g", "https://a/b/c/g"),
            ("g/", "https://a/b/c/g/"),
            ("/g", "https://a/g"),
            ("//g", "https://g"),
            ("?y", "https://a/b/c/d;p?y"),
            ("g?y", "https://a/b/c/g?y"),
            ("#s", "https://a/b/c/d;p?q"),
            ("g#s", "https://a/b/c/g"),
            (";x", "https://a/b/c/;x"),
            ("", "https://a/b/c/d;p?q"),
            (".", "https://a/b/c/"),
            ("./", "https://a/b/c/"),
            ("..", "https://a/b/"),
            ("../g", "https://a/b/g"),
            ("../..", "https://a/"),
            ("../../g", "https://a/g"),
            ("../../../g", "https://a/g"),
            ("/./g", "https://a/g"),
            ("/../g", "https://a/g"),
            ("g.", "https://a/b/c/g."),
            ("./../g", "https://a/b/g"),
            ("./g/.", "https://a/b/c/g/"),
            ("g/../h", "https://a/b/c/h"),
            ("g?y/../x", "https://a/b/c/g?y/../x"),
            ("http://other/x", "http://other/x"),
        ] {
            assert_eq!(base.join(location).unwrap().as_str(), address, "{location}");
        }
        assert!(base.join("ftp://other/x").is_err());
        assert!(base.join("javascript:x").is_err());
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for text in
            ["", "x", "/x", "https://", "https:///x", "ftp://a/x", "file:///x", "https://u:p@a/x", "https://a b"]
        {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        assert!(Address::parse(&format!("https://a/{}", "x".repeat(10_000))).is_err());
    }

    #[test]
    fn this_machine_is_known_by_number_or_name() {
        for (text, is_loopback) in [
            ("http://127.0.0.1:80/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:8080/", true),
            ("http://LOCALHOST/", true),
            ("http://localhost.example/", false),
            ("http://127.0.0.1.example/", false),
            ("http://128.0.0.1/", false),
            ("http://example/", false),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_loopback(), is_loopback, "{text}");
        }
    }
}
