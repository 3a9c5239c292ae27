//! Which kind of user-data a text is. Only its beginning tells cloud-init.

use super::Role;
use super::finding::{Finding, Findings};
use super::schema::Schema;

/// What a text is to cloud-init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    CloudConfig,
    Archive,
    Jsonp,
    Script,
    Boothook,
    PartHandler,
    Include,
    IncludeOnce,
    Jinja,
}

impl Kind {
    /// In the order in which cloud-init tries them: the longest first.
    const ALL: [Self; 9] = [
        Self::Archive,
        Self::Jsonp,
        Self::Jinja,
        Self::Boothook,
        Self::CloudConfig,
        Self::PartHandler,
        Self::IncludeOnce,
        Self::Include,
        Self::Script,
    ];

    /// What a text of this kind begins with.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::CloudConfig => "#cloud-config",
            Self::Archive => "#cloud-config-archive",
            Self::Jsonp => "#cloud-config-jsonp",
            Self::Script => "#!",
            Self::Boothook => "#cloud-boothook",
            Self::PartHandler => "#part-handler",
            Self::Include => "#include",
            Self::IncludeOnce => "#include-once",
            Self::Jinja => "## template: jinja",
        }
    }

    /// Its name, for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CloudConfig => "cloud-config",
            Self::Archive => "cloud-config archive",
            Self::Jsonp => "cloud-config JSON patch",
            Self::Script => "script",
            Self::Boothook => "boothook",
            Self::PartHandler => "part handler",
            Self::Include => "include",
            Self::IncludeOnce => "include once",
            Self::Jinja => "Jinja template",
        }
    }

    /// The kind of a MIME type.
    pub(super) fn of_type(content_type: &str) -> Option<Self> {
        Some(match content_type {
            "text/cloud-config" => Self::CloudConfig,
            "text/cloud-config-archive" => Self::Archive,
            "text/cloud-config-jsonp" => Self::Jsonp,
            "text/x-shellscript"
            | "text/x-shellscript-per-boot"
            | "text/x-shellscript-per-instance"
            | "text/x-shellscript-per-once" => Self::Script,
            "text/cloud-boothook" => Self::Boothook,
            "text/part-handler" => Self::PartHandler,
            "text/x-include-url" => Self::Include,
            "text/x-include-once-url" => Self::IncludeOnce,
            "text/jinja2" => Self::Jinja,
            _ => return None,
        })
    }

    /// The kind of a text; letters may be capitals, and white space may come first.
    pub(super) fn of(text: &str) -> Option<Self> {
        let start = text.trim_start();
        let begins = |header: &str| start.get(..header.len()).is_some_and(|start| start.eq_ignore_ascii_case(header));
        Self::ALL.into_iter().find(|kind| begins(kind.header()))
    }
}

/// Reports a header that cloud-init accepts although it is not exact.
pub(super) fn look(kind: Kind, findings: &mut Findings<'_>) {
    let text = findings.text;
    let start = text.len() - text.trim_start().len();
    let line = text[start..].lines().next().unwrap_or_default();
    let span = start..start + line.trim_end().len();
    if start > 0 && kind != Kind::Script {
        let message = format!("`{}` is not at the start of its line", kind.header());
        findings.push(Finding::note("header", message, span.clone()).hint("some programs find it only there"));
    }
    let rest = line.get(kind.header().len()..).unwrap_or_default();
    let goes_on = rest.starts_with(|next: char| !next.is_whitespace());
    if goes_on && matches!(kind, Kind::CloudConfig | Kind::Boothook | Kind::PartHandler) {
        let message = format!("`{}` is taken for `{}`", line.trim_end(), kind.header());
        findings.push(Finding::warning("header", message, span));
    }
}

/// Why cloud-init knows no kind for the text.
pub(super) fn unknown(findings: &mut Findings<'_>) {
    let text = findings.text;
    let start = text.len() - text.trim_start().len();
    let line = text[start..].lines().next().unwrap_or_default().trim_end();
    let span = start..start + line.len();
    let ignored = "cloud-init ignores this: its first line does not say what it is";
    let finding = Finding::error("header", ignored, span.clone());
    findings.push(if let Some(rest) = text[start..].strip_prefix('\u{feff}') {
        let finding = Finding::error("header", "cloud-init ignores this: it begins with a byte order mark", span);
        match Kind::of(rest) {
            Some(kind) => finding.hint(format!("save the file without it, so that it begins with `{}`", kind.header())),
            None => finding.hint("save the file without it"),
        }
    } else if let Some(kind) = meant(line) {
        finding.label(format!("did you mean `{}`?", kind.header()))
    } else if let Some((at, kind)) = later(text) {
        let finding = Finding::error("header", format!("`{}` is not the first line", kind.header()), at);
        finding.hint("cloud-init looks at the first line only, so it ignores this file")
    } else if looks_like_network(text) {
        finding.hint("this looks like a network-config, which belongs in a file of its own")
    } else if looks_like_cloud_config(text) {
        finding.hint("the first line of a cloud-config is `#cloud-config`")
    } else if line.starts_with('<') {
        finding.hint("this is not for cloud-init on Linux")
    } else {
        let headers: Vec<&str> = Kind::ALL.iter().map(|kind| kind.header()).collect();
        finding.hint(format!("the first line must be one of {}", words::quoted_list(&headers, "and")))
    });
}

/// The kind whose header was meant.
fn meant(line: &str) -> Option<Kind> {
    let plain = |text: &str| {
        text.chars().filter(|character| character.is_ascii_alphanumeric()).collect::<String>().to_ascii_lowercase()
    };
    let wanted = plain(line);
    if wanted.len() < 5 || line.contains(": ") && !line.starts_with('#') {
        return None;
    }
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Script);
    let headers: Vec<(String, Kind)> = kinds.map(|kind| (plain(kind.header()), kind)).collect();
    let meant = words::nearest(&wanted, headers.iter().map(|(header, _)| header.as_str()))?;
    headers.iter().find(|(header, _)| header == meant).map(|(_, kind)| *kind)
}

/// A header after comments and empty lines.
fn later(text: &str) -> Option<(std::ops::Range<usize>, Kind)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let words = line.trim();
        if let Some(kind) = Kind::of(line).filter(|_| at > 0) {
            let start = at + (line.len() - line.trim_start().len());
            return Some((start..start + words.len(), kind));
        }
        if !words.is_empty() && !words.starts_with('#') && words != "---" {
            return None;
        }
        at += line.len();
    }
    None
}

/// The keys at the beginnings of lines.
fn top_keys(text: &str) -> impl Iterator<Item = &str> {
    let keys = text.lines().filter_map(|line| line.split_once(':').map(|(key, _)| key));
    keys.filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
}

fn looks_like_cloud_config(text: &str) -> bool {
    let known = Schema::CloudConfig.top_level_keys();
    top_keys(text).any(|key| known.contains(&key))
}

pub(super) fn looks_like_network(text: &str) -> bool {
    let keys: Vec<&str> = top_keys(text).collect();
    let has = |key: &str| keys.contains(&key);
    has("network") || has("ethernets") || has("version") && (has("config") || has("bonds") || has("wifis"))
}

/// What a file is, and how that was decided. A name that cloud-init uses decides first, so that an error
/// in `network-config` is reported for a network-config; a similar name only decides after the first line.
pub(super) fn guess(name: &str, bytes: &[u8]) -> (Role, &'static str) {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase().replace('_', "-");
    let by_name = "by its name";
    if name.contains("user-data") || name.contains("userdata") {
        return (Role::UserData, by_name);
    }
    if name.contains("vendor-data") || name.contains("vendordata") {
        return (Role::VendorData, by_name);
    }
    if name.contains("meta-data") || name.contains("metadata") {
        return (Role::MetaData, by_name);
    }
    if name.split('.').next() == Some("network-config") {
        return (Role::NetworkConfig, by_name);
    }
    let by_content = "by its content";
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(64 << 10)]);
    // A template can be of either.
    if Kind::of(&text).is_some_and(|kind| kind != Kind::Jinja) {
        return (Role::UserData, by_content);
    }
    if name.contains("network") || name.starts_with("net.") || name.contains("netplan") {
        return (Role::NetworkConfig, by_name);
    }
    if Kind::of(&text).is_some() {
        return (Role::UserData, by_content);
    }
    if looks_like_network(&text) {
        return (Role::NetworkConfig, by_content);
    }
    let is_meta_data = text.lines().any(|line| {
        let key = line.trim_start_matches(['{', ' ', '"', '\'']);
        key.starts_with("instance-id") || key.starts_with("local-hostname")
    });
    if is_meta_data && !looks_like_cloud_config(&text) {
        return (Role::MetaData, by_content);
    }
    (Role::UserData, "because nothing else fits")
}
