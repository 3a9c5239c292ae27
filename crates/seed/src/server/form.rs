//! The form that cloud-init's `phone_home` posts.

use std::collections::BTreeMap;

use super::path::decode;

/// The most fields of a form; cloud-init sends seven.
const MAX_FIELDS: usize = 32;

/// A call by a guest whose first boot is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhoneHome {
    /// Its fields by name: `instance_id`, `hostname`, `fqdn`, `pub_key_ed25519` and the like.
    pub fields: BTreeMap<String, String>,
}

impl PhoneHome {
    /// The fields of a form, `application/x-www-form-urlencoded`; `None` if it is malformed.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut fields = BTreeMap::new();
        for pair in text.trim_end().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| decode(&text.replace('+', " "));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if name.chars().any(char::is_control) || fields.len() == MAX_FIELDS {
                return None;
            }
            fields.insert(name, value);
        }
        (!fields.is_empty()).then_some(Self { fields })
    }

    /// A field, such as `instance_id`; empty if the guest did not send it.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_fields() {
        let form =
            PhoneHome::parse(b"instance_id=i-1&hostname=a%20b+c&pub_key_rsa=ssh-rsa+A%2B%2Fb%3D%0A&none").unwrap();
        assert_eq!(form.field("instance_id"), "i-1");
        assert_eq!(form.field("hostname"), "a b c");
        assert_eq!(form.field("pub_key_rsa"), "ssh-rsa A+/b=\n");
        assert_eq!((form.field("none"), form.field("fqdn"), form.fields.len()), ("", "", 4));
        let many = (0..=MAX_FIELDS).map(|number| format!("{number}=")).collect::<Vec<_>>().join("&");
        for body in [&b""[..], b"a=%", b"a=%ff", b"\xff=1", b"a%0a=1", many.as_bytes()] {
            assert_eq!(PhoneHome::parse(body), None, "{body:?}");
        }
    }
}
