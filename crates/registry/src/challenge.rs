//! `WWW-Authenticate`: how a registry wants to know who asks (RFC 9110, 11.6.1).

/// The most characters of the header that are looked at.
const MAX_LENGTH: usize = 8 << 10;

/// What a registry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user and a password with each request.
    Basic,
    /// A token of the service `realm`.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// The first of the challenges in `header` that is known.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let header = header.trim();
        if header.len() > MAX_LENGTH {
            return None;
        }
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        for (name, value) in Parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        realm.map(|realm| Self::Bearer { realm, service })
    }
}

/// `NAME=VALUE` or `NAME="VALUE"`, separated by commas.
struct Parameters<'a>(&'a str);

impl Iterator for Parameters<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.trim_start_matches([',', ' ', '\t']).split_once('=')?;
        let mut value = String::new();
        let Some(quoted) = rest.strip_prefix('"') else {
            let (plain, rest) = rest.split_once(',').unwrap_or((rest, ""));
            self.0 = rest;
            return Some((name.trim().to_owned(), plain.trim().to_owned()));
        };
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = &quoted[at + 1..];
                    return Some((name.trim().to_owned(), value));
                }
                '\\' => value.extend(characters.next().map(|(_, character)| character)),
                character => value.push(character),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (header, challenge) in [
            ("Basic realm=\"basic-realm\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"repository:a:pull,push\"",
                bearer("https://auth.example/token", Some("registry.example")),
            ),
            ("bearer scope=x, realm=https://a/t", bearer("https://a/t", None)),
            ("Bearer realm=\"https://a/\\\"t\"", bearer("https://a/\"t", None)),
            ("Bearer service=x", None),
            ("Bearer realm=\"https://a", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(header), challenge, "{header}");
        }
        assert_eq!(Challenge::parse(&format!("Bearer realm={}", "x".repeat(10_000))), None);
        Challenge::parse(&format!("Bearer {}", "a=\"\\".repeat(2_000)));
    }
}
