//! A text, and everything that is said of it; for the tests and the fuzz target.

use std::ops::Range;

use seed::check::{Document, Role, check};
use seed::yaml::{self, Node, Value};

const ROLES: [Role; 4] = [Role::UserData, Role::VendorData, Role::NetworkConfig, Role::MetaData];

/// How texts begin that are looked at in different ways.
#[allow(dead_code, reason = "mutations begin with whole texts")]
const HEADS: [&str; 16] = [
    "",
    "#cloud-config\n",
    "## template: jinja\n#cloud-config\n",
    "#cloud-config-archive\n",
    "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x\n",
    "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x\nContent-Type: text/cloud-config\n\n",
    "Content-Type: text/cloud-config\nContent-Transfer-Encoding: base64\nMIME-Version: 1.0\n\n",
    "version: 2\nethernets:\n  e:\n    ",
    "version: 1\nconfig:\n- type: ",
    "#cloud-config-jsonp\n",
    "#include\n",
    "#!/bin/sh\n",
    "#cloud-config\nusers:\n- name: a\n  ",
    "#cloud-config\nwrite_files:\n- path: /a\n  ",
    "#cloud-config\nruncmd:\n- ",
    "instance-id: a\n",
];

/// What `input` says: how the text begins, and the rest of it.
#[allow(dead_code, reason = "mutations begin with whole texts")]
pub(crate) fn any(input: &[u8]) {
    let Some((head, body)) = input.split_first() else { return };
    look(&[HEADS[usize::from(*head) % HEADS.len()].as_bytes(), body].concat());
}

/// Looks at a text as each of the files of a seed; what is said of it is said of a place in it.
pub(crate) fn look(bytes: &[u8]) {
    for role in ROLES {
        let report = check(&[Document { name: "x", role, bytes }]);
        for finding in &report.findings {
            let source = &report.sources[finding.source];
            if let Some(span) = &finding.span {
                assert!(is_in(span, &source.text), "{finding:?}");
            }
            report.position(finding);
        }
    }
    let _ = Role::guess("x", bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match yaml::parse(text) {
        Ok(tree) => {
            look_at(&tree.root, text);
            for duplicate in &tree.duplicates {
                assert!(is_in(&duplicate.lost, text) && is_in(&duplicate.kept, text), "{duplicate:?}");
            }
        }
        Err(error) => assert!(is_in(&error.span, text), "{error:?}"),
    }
}

/// Whether the place is one of the text, and of whole characters.
fn is_in(span: &Range<usize>, text: &str) -> bool {
    text.get(span.clone()).is_some()
}

fn look_at(node: &Node, text: &str) {
    assert!(is_in(&node.span, text), "{node:?}");
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| look_at(item, text)),
        Value::Mapping(entries) => {
            for entry in entries {
                look_at(&entry.key, text);
                look_at(&entry.value, text);
            }
        }
        _ => {}
    }
}
