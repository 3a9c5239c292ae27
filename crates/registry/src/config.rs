//! Who asks: a user and a password, as `docker login` and `podman login` keep them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::reference::Reference;
use std::collections::BTreeMap;

/// Who asks a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user.
    User {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::User { name, .. } => write!(f, "User({name:?})"),
        }
    }
}

/// Why a file has no login for a registry, where it seems to have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// It is not a file of that kind.
    #[error("it is not a file with logins of registries: {0}")]
    NotJson(String),
    /// What it has for the registry is not a user and a password.
    #[error("its entry for `{0}` is not a user and a password in base64")]
    Entry(String),
    /// What it has for the registry is a token that only the registry's own programs use.
    #[error("its entry for `{0}` is an identity token, and not a user and a password")]
    IdentityToken(String),
    /// Another program keeps it.
    #[error(
        "the password for `{host}` is kept by the program `docker-credential-{helper}`, which imgraft does not start"
    )]
    Helper {
        /// The registry.
        host: String,
        /// The end of the program's name.
        helper: String,
    },
}

/// `config.json` of Docker, and `auth.json` of Podman.
#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: String,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
}

impl Login {
    /// The most bytes that such a file may have.
    pub const LIMIT_BYTES: u64 = 1 << 20;

    /// The login that the text of a file has for the registry of `reference`: the one for its repository or the
    /// nearest one above it, as Podman has it, or the one for its host. `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`LoginError`].
    pub fn in_file(text: &str, reference: &Reference) -> Result<Option<Self>, LoginError> {
        let file: File = serde_json::from_str(text).map_err(|error| LoginError::NotJson(error.to_string()))?;
        let host = &reference.host;
        let mut path = format!("{host}/{}", reference.repository);
        loop {
            let entry = file.auths.iter().find(|(key, _)| is_for(key, &path)).map(|(_, entry)| entry);
            if let Some(entry) = entry.filter(|entry| !entry.auth.is_empty() || !entry.identity_token.is_empty()) {
                return entry.login(host).map(Some);
            }
            match path.rsplit_once('/') {
                Some((above, _)) => path.truncate(above.len()),
                None => break,
            }
        }
        let listed = file.auths.keys().any(|key| is_for(key, host));
        let store = Some(&file.store).filter(|store| !store.is_empty() && listed);
        match file.helpers.get(host).or(store) {
            Some(helper) => Err(LoginError::Helper { host: host.clone(), helper: helper.clone() }),
            None => Ok(None),
        }
    }

    /// The value of `Authorization` for Basic (RFC 7617).
    pub(crate) fn basic(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::User { name, password } => Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))),
        }
    }
}

impl Entry {
    fn login(&self, host: &str) -> Result<Login, LoginError> {
        if !self.identity_token.is_empty() {
            return Err(LoginError::IdentityToken(host.to_owned()));
        }
        let invalid = || LoginError::Entry(host.to_owned());
        let bytes = STANDARD.decode(self.auth.trim()).map_err(|_| invalid())?;
        let text = String::from_utf8(bytes).map_err(|_| invalid())?;
        let (name, password) = text.split_once(':').ok_or_else(invalid)?;
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Login::User { name: name.to_owned(), password })
    }
}

/// Whether an entry with the name `key` is for `path`: `HOST`, `https://HOST/v1/` as old files have it, or `HOST/NAME`.
fn is_for(key: &str, path: &str) -> bool {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    key == path || path == "docker.io" && key == "index.docker.io"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, reference: &str) -> Result<Option<Login>, LoginError> {
        Login::in_file(text, &reference.parse().unwrap())
    }

    fn user(name: &str, password: &str) -> Result<Option<Login>, LoginError> {
        Ok(Some(Login::User { name: name.to_owned(), password: password.to_owned() }))
    }

    #[test]
    fn the_nearest_login_counts() {
        // `a:b`, `c:d:e`, `f:g`
        let text = r#"{"auths": {"r.example": {"auth": "YTpi"}, "r.example/team": {"auth": "YzpkOmU="},
            "https://index.docker.io/v1/": {"auth": "Zjpn"}, "r.example:5000": {}}, "credsStore": ""}"#;
        assert_eq!(find(text, "oci://r.example/x"), user("a", "b"));
        assert_eq!(find(text, "oci://r.example/teams"), user("a", "b"));
        assert_eq!(find(text, "oci://r.example/team/x/y:1"), user("c", "d:e"));
        assert_eq!(find(text, "oci://docker.io/library/x"), user("f", "g"));
        assert_eq!(find(text, "oci://r.example:5000/x"), Ok(None));
        assert_eq!(find(text, "oci://other.example/x"), Ok(None));
        assert_eq!(find("{}", "oci://other.example/x"), Ok(None));
    }

    #[test]
    fn what_is_no_password_is_named() {
        let host = || "r.example".to_owned();
        for (text, error) in [
            (r#"{"auths": {"r.example": {"auth": "YTpi", "identitytoken": "x"}}}"#, LoginError::IdentityToken(host())),
            (r#"{"auths": {"r.example": {"auth": "%"}}}"#, LoginError::Entry(host())),
            (r#"{"auths": {"r.example": {"auth": "YQ=="}}}"#, LoginError::Entry(host())),
            (
                r#"{"auths": {"r.example": {}}, "credsStore": "desktop"}"#,
                LoginError::Helper { host: host(), helper: "desktop".to_owned() },
            ),
            (
                r#"{"credHelpers": {"r.example": "gcloud"}}"#,
                LoginError::Helper { host: host(), helper: "gcloud".to_owned() },
            ),
        ] {
            assert_eq!(find(text, "oci://r.example/x"), Err(error), "{text}");
        }
        assert!(matches!(find("no", "oci://r.example/x"), Err(LoginError::NotJson(_))));
        assert!(
            !format!("{:?}", Login::User { name: "a".to_owned(), password: "secret".to_owned() }).contains("secret")
        );
    }
}
