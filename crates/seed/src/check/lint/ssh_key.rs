//! Public keys of SSH, and where they are fetched from.

use crate::base64;
use crate::check::finding::{Finding, Findings};
use crate::yaml::{Entry, Node};

/// The types that OpenSSH takes.
const TYPES: [&str; 14] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "ssh-dss",
];

pub(super) fn check(root: &Node, findings: &mut Findings<'_>) {
    check_user(root, findings);
}

/// The keys of a user, or of the stock user where `node` is a whole cloud-config.
pub(super) fn check_user(node: &Node, findings: &mut Findings<'_>) {
    for name in ["ssh_authorized_keys", "ssh-authorized-keys"] {
        let Some(Entry { value, .. }) = node.entry(name) else { continue };
        let keys: Vec<&Node> = value.items().map_or_else(|| vec![value], |items| items.iter().collect());
        for key in keys {
            let Some(text) = key.as_str() else { continue };
            if let Err(problem) = public_key(text) {
                findings.push(problem.finding(key));
            }
        }
    }
    for id in node.get("ssh_import_id").and_then(Node::items).unwrap_or_default() {
        let Some(text) = id.as_str() else { continue };
        let (protocol, user) = text.split_once(':').unwrap_or(("", text));
        if user.is_empty() || !["gh", "lp", "gl"].contains(&protocol) {
            let message = match protocol {
                "" => format!("`{text}` is taken for a user of Launchpad"),
                _ => format!("keys are fetched from `gh:` or `lp:`, not from `{protocol}:`"),
            };
            findings.push(
                Finding::warning("ssh-import-id", message, id.span.clone()).hint("a user of GitHub is `gh:NAME`"),
            );
        }
    }
}

/// Why a text is no key.
enum Problem {
    /// A place where somebody was to put one.
    Placeholder,
    Other(String, Option<&'static str>),
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self::Other(message.into(), None)
    }

    fn hint(message: impl Into<String>, hint: &'static str) -> Self {
        Self::Other(message.into(), Some(hint))
    }

    fn finding(self, key: &Node) -> Finding {
        let span = key.span.clone();
        match self {
            Self::Placeholder => Finding::warning("ssh-key", "a key is to be put in here", span),
            Self::Other(message, None) => Finding::error("ssh-key", message, span),
            Self::Other(message, Some(hint)) => Finding::error("ssh-key", message, span).hint(hint),
        }
    }
}

/// Whether `text` is a line of `authorized_keys`.
fn public_key(text: &str) -> Result<(), Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::new("this key is empty"));
    }
    if text.starts_with("-----BEGIN") || text.starts_with("---- BEGIN") {
        return Err(match text.contains("PRIVATE") {
            true => Problem::hint(
                "this is a private key, which is nobody's business",
                "the public one is in the file that ends in `.pub`",
            ),
            false => Problem::hint("this key is in another format", "`ssh-keygen -i -f FILE` makes OpenSSH's of it"),
        });
    }
    if text.starts_with('<') || text.contains("...") || text.contains('…') {
        return Err(Problem::Placeholder);
    }
    if let ["gh" | "lp", _] = text.split(':').collect::<Vec<_>>()[..] {
        return Err(Problem::hint("this says where a key is, and is none", "keys are fetched with `ssh_import_id`"));
    }
    let Some((kind, rest)) = split_options(text) else {
        let is_path = text.starts_with(['/', '~', '.']) || text.ends_with(".pub");
        return Err(match is_path {
            true => Problem::hint("this is the name of a file, and no key", "what is in the file goes here"),
            false => Problem::hint(
                "this is no key",
                "as in `ssh-ed25519 AAAAC3…`: the line that is in the file that ends in `.pub`",
            ),
        });
    };
    let Some(encoded) = rest.split_whitespace().next() else {
        return Err(Problem::new(format!("there is nothing behind `{kind}`")));
    };
    let Some(bytes) = base64::decode_strict(encoded) else {
        return Err(Problem::hint("the key is no base64", "a part of it may be missing"));
    };
    blob(kind, &bytes)
}

/// The type of a key and what is behind it; options before the type are passed over.
fn split_options(text: &str) -> Option<(&str, &str)> {
    let is_type = |word: &str| TYPES.iter().find(|kind| **kind == word);
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if is_type(first).is_some() {
        return Some((first, rest));
    }
    // Options have no spaces outside of quotes.
    let mut in_quotes = false;
    let end = text.find(|character| {
        in_quotes ^= character == '"';
        !in_quotes && matches!(character, ' ' | '\t')
    })?;
    let rest = text[end..].trim_start();
    let (kind, rest) = rest.split_once(char::is_whitespace)?;
    is_type(kind).map(|_| (kind, rest))
}

/// What is in a key: its type again, and then numbers, each behind its length.
fn blob(kind: &str, bytes: &[u8]) -> Result<(), Problem> {
    let mut rest = bytes;
    let mut fields = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        // Certificates have numbers without a length; their beginning is enough.
        if length > behind.len() {
            if fields.is_empty() || !kind.contains("-cert-") {
                return Err(Problem::hint(
                    "the key is cut off",
                    "the whole line of the file that ends in `.pub` is needed",
                ));
            }
            return Ok(());
        }
        let (field, after) = behind.split_at(length);
        fields.push(field);
        rest = after;
    }
    match fields.first() {
        None => Err(Problem::new("the key is cut off")),
        Some(inner) if *inner != kind.as_bytes() => {
            let inner = String::from_utf8_lossy(inner).chars().take(40).collect::<String>();
            Err(Problem::new(format!(
                "the key says that it is `{kind}`, and holds one of `{}`",
                inner.escape_default()
            )))
        }
        Some(_) if kind == "ssh-ed25519" && fields.get(1).is_none_or(|key| key.len() != 32) => {
            Err(Problem::new("a key of `ssh-ed25519` has 32 bytes"))
        }
        Some(_) if kind == "ssh-rsa" && fields.len() < 3 => {
            Err(Problem::hint("the key is cut off", "the whole line of the file that ends in `.pub` is needed"))
        }
        Some(_) if kind == "ssh-dss" => Err(Problem::hint(
            "OpenSSH takes no keys of `ssh-dss` any more",
            "`ssh-keygen -t ed25519` makes one that it takes",
        )),
        Some(_) => Ok(()),
    }
}
