//! A registry, and one who asks it.

use std::thread;

use catalogue::Client;
use catalogue::transport::{Address, Again, Answer, Failed, Options, Web};
use serde::Deserialize;

use crate::challenge::Challenge;
use crate::config::Login;
use crate::error::Error;
use crate::reference::Reference;

/// The most bytes of a document that is no manifest: a token, an error.
const DOCUMENT_LIMIT_BYTES: u64 = 1 << 20;
/// The most characters that are shown of what a registry says.
const SAID_MAX: usize = 300;

/// A registry's repository, and one who asks for it.
pub struct Registry {
    pub(crate) client: Client,
    pub(crate) reference: Reference,
    server: Address,
    login: Login,
    plain_http: bool,
}

/// What is wanted, as scopes of tokens say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    Push,
}

impl Registry {
    /// The registry and repository of `reference`. With `plain_http` it is asked without TLS. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// An invalid address.
    pub fn new(reference: &Reference, options: Options, login: Login, plain_http: bool) -> Result<Self, Error> {
        let scheme = if plain_http { "http" } else { "https" };
        let server = Address::parse(&format!("{scheme}://{}", reference.server()))?;
        let client = Client::new(Options { allow_http: plain_http, ..options });
        Ok(Self { client, reference: reference.with_tag(None), server, login, plain_http })
    }

    pub(crate) fn web(&self) -> &Web {
        self.client.web()
    }

    /// The address of something in the repository.
    pub(crate) fn address(&self, path: &str) -> Result<Address, Error> {
        let Self { server, reference, .. } = self;
        Ok(Address::parse(&format!("{}/v2/{}/{path}", server.as_str(), reference.repository))?)
    }

    /// Asks by `ask` until there is an answer that is neither a challenge nor a fault that may go away.
    pub(crate) fn ask(
        &self,
        access: Access,
        address: &Address,
        mut ask: impl FnMut() -> Result<Answer, Failed>,
    ) -> Result<Answer, Error> {
        let (mut failures, mut is_known) = (0, false);
        loop {
            let failed = match ask() {
                Ok(answer) if answer.status == 401 && !is_known => {
                    is_known = true;
                    self.authenticate(&answer, access)?;
                    continue;
                }
                Ok(answer) => match answer.refusal() {
                    failed if is_error(answer.status) && failed.again == Again::Later => {
                        failures += 1;
                        match self.web().pause(address, &failed, failures) {
                            Some(pause) => thread::sleep(pause),
                            None => return Ok(answer),
                        }
                        continue;
                    }
                    _ => return Ok(answer),
                },
                Err(failed) => failed,
            };
            failures += 1;
            match self.web().pause(address, &failed, failures) {
                Some(pause) => thread::sleep(pause),
                None => return Err(failed.error.into()),
            }
        }
    }

    /// Does what a 401 asks for, from now on.
    fn authenticate(&self, answer: &Answer, access: Access) -> Result<(), Error> {
        let challenge = answer.header("www-authenticate").and_then(Challenge::parse);
        let authorization = match challenge {
            Some(Challenge::Basic) => {
                self.login.basic().ok_or_else(|| self.denied(&self.reference.host, access, String::new()))?
            }
            Some(Challenge::Bearer { realm, service }) => self.token(&realm, service.as_deref(), access)?,
            None => {
                let problem = "wants to know who asks in a way that imgraft does not know: Basic or Bearer is needed";
                return Err(Error::document(answer.url.as_str(), problem));
            }
        };
        self.web().authorize(&self.server, Some(authorization));
        Ok(())
    }

    /// A token of the service `realm` (Docker Registry's token authentication).
    fn token(&self, realm: &str, service: Option<&str>, access: Access) -> Result<String, Error> {
        let actions = if access == Access::Push { "pull,push" } else { "pull" };
        let mut url = realm.to_owned();
        let scope = format!("repository:{}:{actions}", self.reference.repository);
        for (name, value) in [("service", service), ("scope", Some(scope.as_str()))] {
            let Some(value) = value else { continue };
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{name}={}", percent_encoded(value)));
        }
        let address = Address::parse(&url)?;
        if !address.is_https() && !self.plain_http {
            return Err(Error::document(self.server.as_str(), format!("names a token service without TLS: `{realm}`")));
        }
        // Explicit, so that no redirect carries it to another server.
        let headers: Vec<_> = self.login.basic().map(|basic| ("authorization", basic)).into_iter().collect();
        let mut failures = 0;
        let answer = loop {
            match self.web().once("GET", &address, &headers, None) {
                Ok(answer) => break answer,
                Err(failed) => {
                    failures += 1;
                    let pause = self.web().pause(&address, &failed, failures).ok_or(failed.error)?;
                    thread::sleep(pause);
                }
            }
        };
        match answer.status {
            200 => {}
            401 | 403 => {
                let server = address.host().to_owned();
                let said = self.said(answer);
                return Err(self.denied(&server, access, said));
            }
            _ => return Err(self.refused(answer)),
        }
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bytes = self.web().document(answer, DOCUMENT_LIMIT_BYTES).map_err(|failed| failed.error)?;
        let token: Option<Token> = serde_json::from_slice(&bytes).ok();
        let token = token.and_then(|token| token.token.or(token.access_token)).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| Error::document(address.as_str(), "answers without a token"))?;
        Ok(format!("Bearer {token}"))
    }

    fn denied(&self, server: &str, access: Access, said: String) -> Error {
        let who = match &self.login {
            Login::Anonymous => "who is not logged in".to_owned(),
            Login::User { name, .. } => format!("the user `{name}`"),
        };
        let verb = if access == Access::Push { "push to" } else { "pull" };
        Error::Denied { server: server.to_owned(), who, what: format!("{verb} `{}`", self.reference), said }
    }

    /// What an answer that is an error means.
    pub(crate) fn error(&self, answer: Answer, access: Access) -> Error {
        match answer.status {
            401 | 403 => {
                let said = self.said(answer);
                self.denied(&self.reference.host, access, said)
            }
            _ => self.refused(answer),
        }
    }

    fn refused(&self, answer: Answer) -> Error {
        let (url, status) = (answer.url.as_str().split('?').next().unwrap_or_default().to_owned(), answer.status);
        Error::Refused { url, status, said: self.said(answer) }
    }

    /// What the registry says about an error, after a colon and a blank; nothing if that is unreadable.
    fn said(&self, answer: Answer) -> String {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<Said>,
        }
        #[derive(Deserialize)]
        struct Said {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let bytes = self.web().document(answer, DOCUMENT_LIMIT_BYTES).unwrap_or_default();
        let errors: Option<Errors> = serde_json::from_slice(&bytes).ok();
        let Some(first) = errors.and_then(|errors| errors.errors.into_iter().next()) else { return String::new() };
        let text: String = [first.code, first.message].join(" ").chars().take(SAID_MAX).collect();
        let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
    }
}

fn is_error(status: u16) -> bool {
    !(200..400).contains(&status)
}

/// A value in a query: what is not unreserved is encoded (RFC 3986, 2.3).
pub(crate) fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let encode = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
