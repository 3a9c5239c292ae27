//! Findings as SARIF 2.1.0, which code scanning services and editors read.

use std::collections::BTreeSet;

use seed::check::Severity;
use serde_json::{Value, json};

use super::annotation::Annotation;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The log of a run that found `annotations`.
pub(crate) fn sarif(annotations: &[Annotation]) -> Value {
    let rules: BTreeSet<&str> = annotations.iter().map(|annotation| annotation.rule).collect();
    let results: Vec<Value> = annotations.iter().map(result).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "imgraft",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.iter().map(|rule| json!({ "id": rule })).collect::<Vec<_>>(),
            } },
            // Columns count characters.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(annotation: &Annotation) -> Value {
    let level = match annotation.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let mut result = json!({
        "ruleId": annotation.rule,
        "level": level,
        "message": { "text": annotation.full_message() },
    });
    if let Some(file) = annotation.file() {
        let mut physical = json!({ "artifactLocation": { "uri": uri(&file) } });
        if let Some((begin, end)) = annotation.place {
            physical["region"] = json!({
                "startLine": begin.line,
                "startColumn": begin.column,
                "endLine": end.line,
                "endColumn": end.column,
            });
        }
        result["locations"] = json!([{ "physicalLocation": physical }]);
    }
    result
}

/// A path as a URI: relative, if the path is.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for &byte in path.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    if path.starts_with('/') { format!("file://{uri}") } else { uri }
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_is_a_uri_whatever_its_characters() {
        assert_eq!(uri("seeds/a b:é.yaml"), "seeds/a%20b%3A%C3%A9.yaml");
        assert_eq!(uri("/tmp/x"), "file:///tmp/x");
    }
}
