//! Which configurations fit cloud-init's schemas, against cloud-init's own validator.

use std::collections::BTreeSet;

use crate::support::{Dice, pyyaml, validate};
use seed::check::{Document, Role, check};

/// Configurations that are valid, of which others are made.
const CLOUD_CONFIGS: &[&str] = &[
    "#cloud-config\nusers:\n- default\n- name: a\n  groups: [x, y]\n  sudo: [\"ALL=(ALL) ALL\"]\n  lock_passwd: false\n  uid: 1000\n  shell: /bin/sh\n  ssh_authorized_keys: [k]\n  expiredate: '2030-01-01'\ngroups:\n- g: [a]\n- h\n",
    "#cloud-config\npackages: [git, [vim, '2'], {apt: [curl]}]\npackage_update: true\nruncmd:\n- [ls, -l]\n- echo hi\n- null\nbootcmd: [a, [b, c]]\n",
    "#cloud-config\nwrite_files:\n- path: /a\n  content: b\n  permissions: '0644'\n  owner: root:root\n  encoding: text/plain\n  append: false\n  defer: true\n",
    "#cloud-config\nchpasswd:\n  expire: false\n  users:\n  - {name: a, password: b, type: text}\n  - {name: c, type: RANDOM}\nssh_pwauth: true\nssh_import_id: [gh:a]\nssh_keys: {rsa_private: x, rsa_public: y}\nssh_deletekeys: true\n",
    "#cloud-config\nmounts:\n- [/dev/sdb, /mnt, auto, defaults, '0', '2']\n- [a]\nswap: {filename: /swap, size: auto, maxsize: 10G}\nntp: {enabled: true, servers: [a.b], pools: []}\ngrowpart: {mode: auto, devices: [/]}\n",
    "#cloud-config\napt:\n  preserve_sources_list: true\n  primary:\n  - arches: [default]\n    uri: http://x/y\n  sources: {a: {source: ppa:x/y, keyid: ABC}}\n  conf: abc\ndisk_setup: {/dev/sdb: {table_type: gpt, layout: [50, [50, 82]], overwrite: true}}\nfs_setup:\n- {label: a, filesystem: ext4, device: /dev/sdb1, partition: auto}\n",
    "#cloud-config\npower_state: {mode: reboot, delay: now, timeout: 30, condition: true}\nphone_home: {url: http://x/, post: [pub_key_rsa], tries: 3}\nfinal_message: done\ntimezone: UTC\nlocale: C.UTF-8\nhostname: a\nfqdn: a.b\nmanage_etc_hosts: localhost\nresize_rootfs: noblock\n",
    "#cloud-config\nyum_repos: {a: {baseurl: http://x/, enabled: true, gpgcheck: false, name: n}}\nsnap: {commands: [[snap, install, x], y], assertions: [z]}\nca_certs: {remove_defaults: true, trusted: [abc]}\nkeyboard: {layout: us, model: pc105}\nrandom_seed: {file: /dev/urandom, data: x, encoding: raw}\n",
    "#cloud-config\nansible: {install_method: pip, package_name: ansible, run_user: a, pull: [{url: x, playbook_names: [y]}]}\nlxd: {init: {storage_backend: dir}}\nwireguard: {interfaces: [{name: a, config_path: /b, content: c}]}\nubuntu_pro: {enable: [fips], token: x}\nrsyslog: {configs: ['*.* @@1', {content: x, filename: y}]}\n",
    "#cloud-config\nuser: {name: a, sudo: null}\npassword: b\ndisable_root: false\nno_ssh_fingerprints: true\nmerge_how: 'dict(replace)+list()+str()'\nlaunch-index: 1\noutput: {all: '| tee -a /x'}\nreporting: {a: {type: log}}\nsystem_info: {default_user: {name: x}}\n",
    "#cloud-config\nrh_subscription: {username: a, password: b, auto-attach: true, add-pool: [x], rhsm-baseurl: c}\nchef: {directories: [/a], server_url: https://x, install_type: packages}\nlandscape: {client: {url: https://a, computer_title: b, account_name: c, tags: 'x,y'}}\n",
];

const NETWORKS: &[&str] = &[
    "version: 1\nconfig:\n- type: physical\n  name: eth0\n  mac_address: '52:54:00:00:00:01'\n  subnets:\n  - {type: static, address: 10.0.0.2/24, gateway: 10.0.0.1, dns_nameservers: [8.8.8.8], routes: [{network: 10.0.0.0, netmask: 255.0.0.0, gateway: 10.0.0.1}]}\n  - {type: dhcp}\n- {type: nameserver, address: [1.1.1.1], search: [a.b]}\n- {type: route, destination: 10.0.0.0/8, gateway: 10.0.0.1, metric: 3}\n",
    "network:\n  version: 1\n  config:\n  - {type: bond, name: bond0, bond_interfaces: [eth0, eth1], params: {bond-mode: active-backup}}\n  - {type: bridge, name: br0, bridge_interfaces: [bond0], params: {bridge_stp: 'off', bridge_fd: 0}}\n  - {type: vlan, name: v1, vlan_link: eth0, vlan_id: 5, mtu: 1400}\n",
    "version: 2\nethernets:\n  eth0:\n    match: {macaddress: '52:54:00:00:00:01', driver: virtio}\n    set-name: lan\n    dhcp4: true\n    dhcp6: false\n    addresses: [10.0.0.2/24]\n    gateway4: 10.0.0.1\n    nameservers: {search: [a], addresses: [8.8.8.8]}\n    routes: [{to: 10.0.0.0/8, via: 10.0.0.1, metric: 3}]\n    mtu: 1500\n    optional: true\n    dhcp4-overrides: {use-dns: false, route-metric: 5}\n",
    "network:\n  version: 2\n  renderer: networkd\n  ethernets: {eth0: {}, eth1: {wakeonlan: true}}\n  bonds: {bond0: {interfaces: [eth0, eth1], parameters: {mode: 802.3ad, mii-monitor-interval: 100}}}\n  bridges: {br0: {interfaces: [bond0], parameters: {stp: true}}}\n  vlans: {v1: {id: 5, link: eth0, addresses: [10.0.0.3/24]}}\n",
];

/// Values of every kind, and some that are near to what is right.
const VALUES: &[&str] = &[
    "true",
    "false",
    "null",
    "0",
    "1",
    "-1",
    "2.5",
    "1.0",
    "''",
    "a",
    "'1'",
    "[]",
    "[a]",
    "[1]",
    "{}",
    "{a: b}",
    "{a: 1}",
    "yes",
    "0644",
    "2020-01-01",
    "!!binary aGk=",
    "[[a]]",
    "[{a: b}]",
    "[null]",
    "auto",
    "now",
    "on",
    "'on'",
    "[a, a]",
    "[true, 1]",
    "99999999999999999999",
    "{type: physical}",
    "{name: x}",
    "{1: 2}",
    "{true: x}",
    "reboot",
    ".inf",
    "'2020-13-01'",
    "20200101",
    "'20200101'",
    "10G",
    "'10G'",
];

const KEYS: &[&str] =
    &["a", "name", "type", "path", "users", "x-y", "content", "enabled", "version", "config", "packages", "uid", "on"];

/// A text with a value or a key changed, put in or taken away. It may be YAML no more.
fn mutated(dice: &mut Dice, texts: &[&str]) -> String {
    let mut text = (*dice.pick(texts)).to_owned();
    for _ in 0..=dice.below(2) {
        let header = text.find('\n').filter(|_| text.starts_with('#')).map_or(0, |newline| newline + 1);
        let is_word = |c: char| !",[]{}\n".contains(c);
        let ends: Vec<usize> = text.match_indices(": ").map(|(at, _)| at + 2).filter(|at| *at > header).collect();
        match dice.below(4) {
            // Another value.
            0 | 1 if !ends.is_empty() => {
                let at = *dice.pick(&ends);
                let length = match text[at..].starts_with(['[', '{']) {
                    true => balanced(&text[at..]),
                    false => text[at..].find(|c| !is_word(c)).unwrap_or(text.len() - at),
                };
                text.replace_range(at..at + length, dice.pick::<&str>(VALUES));
            }
            // Another key.
            2 if !ends.is_empty() => {
                let colon = *dice.pick(&ends) - 2;
                let start = text[..colon].rfind(|c: char| " {,\n".contains(c)).map_or(0, |at| at + 1);
                text.replace_range(start..colon, dice.pick::<&str>(KEYS));
            }
            // A line less.
            _ => {
                let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
                if lines.len() > 2 {
                    lines.remove(1 + dice.below(lines.len() - 1));
                    text = lines.concat();
                }
            }
        }
    }
    text
}

/// How long what begins with a bracket is.
fn balanced(text: &str) -> usize {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// Whether there is an error of the schema, and which deprecations there are.
fn verdict(text: &str, role: Role) -> (bool, Vec<String>) {
    let report = check(&[Document { name: "x", role, bytes: text.as_bytes() }]);
    // What only netplan knows is a warning here.
    let is_invalid = report.findings.iter().any(|finding| {
        finding.rule == "schema"
            || finding.message.starts_with("a network-config is a mapping")
            || finding.message.starts_with("this is user-data")
    });
    let deprecated =
        report.findings.iter().filter(|finding| finding.rule == "deprecated" && finding.message.contains("cloud-init"));
    let paths: BTreeSet<String> =
        deprecated.map(|finding| finding.message.split('`').nth(1).unwrap_or_default().to_owned()).collect();
    (is_invalid, paths.into_iter().collect())
}

fn has_other_key(text: &str, role: Role) -> bool {
    let report = check(&[Document { name: "x", role, bytes: text.as_bytes() }]);
    report.findings.iter().any(|finding| finding.rule == "key")
}

fn compare(role: Role, schema: &str, texts: Vec<String>, least_invalid: usize) {
    // What is no YAML mapping is another test's.
    let yaml = pyyaml(&texts);
    let texts: Vec<String> = texts
        .into_iter()
        .zip(&yaml)
        .filter(|(_, yaml)| yaml.starts_with('{') && *yaml != "{}")
        .map(|(text, _)| text)
        .collect();
    let said = validate(schema, &texts);
    let (mut invalid, mut differing) = (0, Vec::new());
    for (text, said) in texts.iter().zip(&said) {
        invalid += usize::from(said.0);
        let ours = verdict(text, role);
        // cloud-init's own validation breaks off: over a key that is no text, which we tell of, or over bytes.
        if said.1.is_none() && (has_other_key(text, role) || text.contains("!!binary")) {
            continue;
        }
        let is_same = ours.0 == said.0 && said.1.as_ref().is_none_or(|deprecated| ours.1 == *deprecated);
        if !is_same {
            differing.push(format!("{text}    cloud-init: {said:?}\n    we: {ours:?}\n"));
        }
    }
    assert!(invalid > least_invalid && texts.len() - invalid > least_invalid, "{invalid} of {}", texts.len());
    assert!(
        differing.is_empty(),
        "{} of {}:\n{}",
        differing.len(),
        texts.len(),
        differing[..differing.len().min(20)].join("\n")
    );
}

#[test]
fn cloud_configs_are_as_valid_as_cloud_init_finds_them() {
    let mut dice = Dice::new(3);
    let originals = CLOUD_CONFIGS.iter().map(|&text| text.to_owned());
    let texts = originals.chain((0..2000).map(|_| mutated(&mut dice, CLOUD_CONFIGS))).collect();
    compare(Role::UserData, "schema-cloud-config-v1", texts, 300);
}

#[test]
fn networks_are_as_valid_as_cloud_init_finds_them() {
    let mut dice = Dice::new(4);
    for (schema, originals) in
        [("schema-network-config-v1", &NETWORKS[..2]), ("schema-network-config-v2", &NETWORKS[2..])]
    {
        let version = if schema.ends_with('1') { "version: 1" } else { "version: 2" };
        let mutated = (0..1000).map(|_| mutated(&mut dice, originals)).filter(|text| text.contains(version));
        let texts = originals.iter().map(|&text| text.to_owned()).chain(mutated).collect();
        compare(Role::NetworkConfig, schema, texts, 100);
    }
}
