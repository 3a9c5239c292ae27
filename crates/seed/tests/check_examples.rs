//! The examples of cloud-init's own documentation: what is wrong with them only cloud-init itself may say.

use std::io::Read;

use crate::support::{python_with, validate};
use seed::check::{Document, Report, Role, Severity, check};

/// Where Debian's package has them.
const EXAMPLES: &str = "/usr/share/doc/cloud-init/examples";

/// What the installed cloud-init takes a text for, and what its reader of YAML makes of each part of an archive.
const KIND: &str = r#"
import json, sys, yaml
from cloudinit import handlers, util
for line in sys.stdin:
    text = json.loads(line)
    kind = handlers.type_from_starts_with(text)
    refused = []
    if kind == "text/cloud-config-archive":
        for entry in util.load_yaml(text, default=[], allowed=(list,)):
            entry = entry if isinstance(entry, dict) else {"content": entry}
            content = entry["content"]
            mime = entry.get("type") or handlers.type_from_starts_with(content, "text/cloud-config")
            is_something = mime == "text/cloud-config" and yaml.safe_load(content) is not None
            refused.append(is_something and util.load_yaml(content) is None)
    print(json.dumps([kind, refused]))
"#;

fn examples() -> Vec<(String, String)> {
    let folder =
        std::fs::read_dir(EXAMPLES).expect("the judge `cloud-init` is not installed: run ./test to install it");
    let mut examples: Vec<(String, String)> = folder
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let mut text = String::new();
            match path.extension().is_some_and(|extension| extension == "gz") {
                true => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
                false => bytes.as_slice().read_to_string(&mut text).unwrap(),
            };
            (path.file_name().unwrap().to_string_lossy().into_owned(), text)
        })
        .collect();
    examples.sort();
    assert!(examples.len() > 30, "{}", examples.len());
    examples
}

fn look(name: &str, text: &str) -> Report {
    check(&[Document { name, role: Role::UserData, bytes: text.as_bytes() }])
}

#[test]
fn examples_are_right_unless_cloud_init_says_otherwise() {
    let examples = examples();
    let lines: Vec<String> =
        examples.iter().map(|(_, text)| serde_json::Value::from(text.as_str()).to_string()).collect();
    let said = python_with(KIND, &[], &(lines.join("\n") + "\n"));
    let mut right = 0;
    for ((name, text), said) in examples.iter().zip(&said) {
        let (kind, refused): (Option<String>, Vec<bool>) = serde_json::from_str(said).unwrap();
        let report = look(name, text);
        let errors: Vec<_> = report.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        let has = |rule: &str| errors.iter().any(|finding| finding.rule == rule);
        assert_eq!(has("header"), kind.is_none(), "{name}");
        match kind.as_deref() {
            Some("text/cloud-config") => {
                let (is_invalid, _) = validate("schema-cloud-config-v1", std::slice::from_ref(text)).remove(0);
                assert_eq!(has("schema"), is_invalid, "{name}: {errors:#?}");
                assert!(errors.iter().all(|finding| finding.rule == "schema"), "{name}: {errors:#?}");
            }
            Some("text/cloud-config-archive") => {
                let count = refused.iter().filter(|refused| **refused).count();
                assert_eq!(errors.len(), count, "{name}: {errors:#?}");
            }
            Some(_) => assert!(errors.is_empty(), "{name}: {errors:#?}"),
            None => assert_eq!(errors.len(), 1, "{name}: {errors:#?}"),
        }
        right += usize::from(errors.is_empty());
    }
    assert!(right > 25, "{right}");
}
