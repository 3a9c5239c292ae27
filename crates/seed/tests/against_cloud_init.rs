//! What the installed cloud-init does with addresses of version 1, with parts whose type says something else than their
//! first line, and with what stands in braces in an include.

use crate::support::{python, python_with};
use seed::check::{Document, Report, Role, Severity, check};

/// Subnets of version 1: addresses and masks in the forms that people write.
const SUBNETS: &[&str] = &[
    "{type: static, address: 10.0.0.2}",
    "{type: static, address: 10.0.0.2/24}",
    "{type: static, address: 10.0.0.2/0}",
    "{type: static, address: 10.0.0.2/40}",
    "{type: static, address: 10.0.0.2/}",
    "{type: static, address: 10.0.0}",
    "{type: static}",
    "{type: static, address: 10.0.0.2/255.255.255.0}",
    "{type: static, address: 10.0.0.2/0.0.0.255}",
    "{type: static, address: 10.0.0.2/255.255.0.255}",
    "{type: static, address: 10.0.0.2, netmask: 255.255.255.0}",
    "{type: static, address: 10.0.0.2, netmask: '24'}",
    "{type: static, address: 10.0.0.2, netmask: '40'}",
    "{type: static, address: 10.0.0.2, netmask: 0.0.0.255}",
    "{type: static, address: 10.0.0.2, netmask: 255.255.0.255}",
    "{type: static, address: 10.0.0.2, netmask: 'ffff::'}",
    "{type: static, address: 10.0.0.2/24, netmask: 255.255.0.0}",
    "{type: static, address: 10.0.0.2/24, netmask: x}",
    "{type: static6, address: '2001:db8::2'}",
    "{type: static6, address: '2001:db8::2/64'}",
    "{type: static6, address: '2001:db8::2/129'}",
    "{type: static6, address: '2001:db8::2', netmask: '64'}",
    "{type: static6, address: '2001:db8::2', netmask: '129'}",
    "{type: static6, address: '2001:db8::2', netmask: 'ffff:ffff:ffff:ffff::'}",
    "{type: static6, address: '2001:db8::2', netmask: 'ffff::1'}",
    "{type: static6, address: '2001:db8::2', netmask: 255.255.255.0}",
    "{type: static6, address: '2001:db8::2/64', netmask: x}",
    // The form of a mask stands behind an IPv4 address only: Python's module for addresses knows no other.
    "{type: static6, address: '2001:db8::2/ffff:ffff:ffff:ffff::'}",
    "{type: static6, address: '2001:db8::2/::ffff'}",
];

/// Whether cloud-init makes something of each subnet, for the files that Debian and others have.
const RENDER: &str = r#"
import json, logging, sys, yaml
from cloudinit.net import eni, netplan, network_state, networkd
logging.disable(logging.CRITICAL)
for line in sys.stdin:
    config = yaml.safe_load(json.loads(line))
    try:
        state = network_state.parse_net_config_data(config, skip_broken=False)
        eni.Renderer({})._render_interfaces(state)
        netplan.Renderer({})._render_content(state)
        networkd.Renderer({})._render_content(state)
        print("true")
    except ValueError:
        print("false")
"#;

fn look(role: Role, text: &str) -> Report {
    check(&[Document { name: role.name(), role, bytes: text.as_bytes() }])
}

fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{}\n", serde_json::Value::from(text.as_str()))).collect()
}

#[test]
fn an_address_of_version_1_is_an_error_where_cloud_init_renders_none() {
    let text =
        |subnet: &&str| format!("version: 1\nconfig:\n- type: physical\n  name: eth0\n  subnets:\n  - {subnet}\n");
    let texts: Vec<String> = SUBNETS.iter().map(text).collect();
    let said = python(RENDER, &lines(&texts));
    assert_eq!(said.len(), texts.len());
    assert!(said.iter().filter(|said| *said == "true").count() > 10, "{said:?}");
    for (text, said) in texts.iter().zip(said) {
        let report = look(Role::NetworkConfig, text);
        let is_taken = report.count(Severity::Error) == 0;
        assert_eq!(is_taken, said == "true", "{text}{:?}", report.findings);
    }
}

/// What cloud-init takes the only part of a message for.
const TYPE: &str = r#"
import logging, sys
from cloudinit import helpers, user_data
logging.disable(logging.CRITICAL)
processor = user_data.UserDataProcessor(helpers.Paths({}))
message = processor.process(sys.stdin.read())
print([part.get_content_type() for part in message.walk() if part.get_content_maintype() != "multipart"])
"#;

/// What comes of it when cloud-init writes a script and runs all of its folder.
const RUN: &str = r#"
import logging, os, sys, tempfile
from cloudinit import subp, util
logging.disable(logging.CRITICAL)
with tempfile.TemporaryDirectory() as folder:
    util.write_file(os.path.join(folder, "part-001"), sys.stdin.read(), 0o700)
    try:
        subp.runparts(folder)
        print("ran")
    except RuntimeError:
        print("failed")
"#;

#[test]
fn a_script_that_does_not_begin_as_one_is_warned_of() {
    // The part, what cloud-init takes it for, whether it runs, and what is said.
    let parts = [
        ("#!/bin/sh\ntrue\n", "text/x-shellscript", "ran", None),
        ("#cloud-config\nhostname: a\n", "text/cloud-config", "failed", Some(Severity::Warning)),
        (" #Cloud-Config\nhostname: a\n", "text/cloud-config", "failed", Some(Severity::Warning)),
        ("# cloud-config\nhostname: a\n", "text/x-shellscript", "failed", Some(Severity::Error)),
        ("#cloud_config\nhostname: a\n", "text/x-shellscript", "failed", Some(Severity::Error)),
    ];
    for (part, kind, run, expected) in parts {
        let message = format!(
            "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n--b\nContent-Type: text/x-shellscript\n\n{part}--b--\n"
        );
        assert_eq!(python(TYPE, &message), [format!("['{kind}']")], "{part}");
        assert_eq!(python(RUN, part), [run], "{part}");
        let report = look(Role::UserData, &message);
        let worst = report.findings.iter().map(|finding| finding.severity).find(|it| *it != Severity::Note);
        assert_eq!(worst, expected, "{part}{:?}", report.findings);
    }
}

/// What cloud-init includes from the address in a line.
const INCLUDE: &str = r#"
import logging, sys
from cloudinit import helpers, user_data
logging.disable(logging.CRITICAL)
processor = user_data.UserDataProcessor(helpers.Paths({}))
message = processor.process('#include\nfile://%s\n' % sys.argv[1])
print([part.get_payload() for part in message.walk() if part.get_content_maintype() != "multipart"])
"#;

#[test]
fn braces_in_an_include_are_a_part_of_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("{{ v1.region }}");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    let address = file.to_str().unwrap();
    assert_eq!(python_with(INCLUDE, &[address], ""), ["['#!/bin/sh\\n']"]);
    let report = look(Role::UserData, &format!("#include\nfile://{address}\n"));
    assert_eq!((report.count(Severity::Error), report.count(Severity::Warning)), (0, 1), "{:?}", report.findings);
}
