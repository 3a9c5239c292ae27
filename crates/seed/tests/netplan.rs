//! Which configurations of version 2 netplan takes, against netplan itself.
//!
//! The documents are written for this test. Those of [`TAKEN`] use the keys that netplan's own examples use
//! (`examples/` of netplan 1.2), and which cloud-init's schema forbids.

use std::os::unix::fs::PermissionsExt;

use seed::check::{Document, Renderer, Role, Severity, check_for};
use testkit::judge::judge;

/// What netplan takes.
const TAKEN: &[&str] = &[
    // static.yaml, static-routes.yaml: routes with more than `to`, `via` and `metric`.
    "network:\n  version: 2\n  ethernets:\n    lan:\n      addresses: [10.0.0.2/24]\n      routes:\n      - {to: 0.0.0.0/0, via: 10.9.9.9, on-link: true}\n      - {to: 10.8.0.0/16, via: 10.0.0.1, table: 101, metric: 100}\n      - {to: 10.7.0.0/16, via: 10.0.0.1, mtu: 1400, type: unicast, scope: global, from: 10.0.0.2}\n      - {to: 10.6.0.0/16, via: 10.0.0.1, congestion-window: 10, advertised-receive-window: 20}\n",
    // source_routing.yaml
    "network:\n  version: 2\n  ethernets:\n    lan:\n      addresses: [10.0.0.2/24]\n      routing-policy:\n      - {from: 10.0.0.0/24, table: 101}\n",
    // bonding.yaml, bonding_router.yaml: numbers where the schema has strings.
    "network:\n  version: 2\n  ethernets: {one: {}, two: {}}\n  bonds:\n    both:\n      interfaces: [one, two]\n      dhcp4: yes\n      parameters: {mode: active-backup, primary: one, mii-monitor-interval: 1, up-delay: 5}\n",
    // sriov_vlan.yaml
    "network:\n  version: 2\n  ethernets:\n    pf: {virtual-function-count: 1}\n    vf: {link: pf}\n  vlans:\n    tagged: {id: 10, link: vf, renderer: sriov}\n",
    // bridge_vlan.yaml, vrf.yaml
    "network:\n  version: 2\n  ethernets: {one: {}}\n  bridges:\n    br: {interfaces: [one], parameters: {stp: false, path-cost: {one: 7}, forward-delay: 4}}\n  vrfs:\n    red: {table: 101, interfaces: [br]}\n",
    // wireguard.yaml, vxlan.yaml, ipv6_tunnel.yaml
    "network:\n  version: 2\n  tunnels:\n    tun: {mode: sit, remote: 192.0.2.1, local: 192.0.2.2, addresses: ['2001:db8::2/64']}\n    wg:\n      mode: wireguard\n      key: 4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8=\n      port: 51820\n      peers:\n      - keys: {public: M9nt4YujIOmNrRmpIRTmYSfMdrpvE7u6WkG8FY8WjG4=}\n        allowed-ips: [192.168.3.0/24]\n        keepalive: 23\n        endpoint: '192.0.2.5:51820'\n",
    // wireless.yaml, network_manager.yaml
    "network:\n  version: 2\n  renderer: NetworkManager\n  wifis:\n    wl: {dhcp4: true, access-points: {home: {password: '12345678', band: 5GHz, channel: 36}}}\n",
    // dhcp_wired8021x.yaml, loopback_interface.yaml, offload.yaml
    "network:\n  version: 2\n  ethernets:\n    renderer: networkd\n    lan:\n      auth: {key-management: 802.1x, method: ttls, identity: x, password: y}\n      dhcp4: 'true'\n      mtu: '1400'\n      link-local: [ipv4, ipv6]\n      receive-checksum-offload: off\n      addresses: [{10.0.0.3/24: {lifetime: 0, label: x}}]\n",
];

/// What netplan takes in newer versions than the oldest that Debian has.
const NEWER: &[&str] = &[
    // virtual-ethernet.yaml: since 1.1.
    "network:\n  version: 2\n  virtual-ethernets:\n    v0: {peer: v1, addresses: [10.0.0.1/24]}\n    v1: {peer: v0}\n",
    // dummy-devices.yaml: since 1.0.
    "network:\n  version: 2\n  dummy-devices:\n    dm0: {addresses: [10.0.0.1/24]}\n",
    // static-routes.yaml: since 0.107.
    "network:\n  version: 2\n  ethernets:\n    lan: {addresses: [10.0.0.2/24], routes: [{to: default, via: 10.0.0.1, advertised-mss: 1400}]}\n",
    // wireless_wpa3.yaml: since 1.0.
    "network:\n  version: 2\n  wifis:\n    wl: {access-points: {home: {auth: {key-management: sae, password: '12345678'}}}}\n",
];

/// What netplan refuses, and what is said of it.
const REFUSED: &[(&str, &str)] = &[
    ("network:\n  version: 2\n  ethernets:\n    lan: {dhcp: true}\n", "dhcp4"),
    ("network:\n  version: 2\n  ethernets:\n    lan: {dhcp4: maybe}\n", "dhcp4"),
    ("network:\n  version: 2\n  ethernets:\n    lan: {mtu: large}\n", "mtu"),
    ("network:\n  version: 2\n  ethernets:\n    lan: {addresses: 10.0.0.2/24}\n", "addresses"),
    (
        "network:\n  version: 2\n  ethernets:\n    lan: {routes: [{to: 10.0.0.0/8, via: 10.0.0.1, onlink: true}]}\n",
        "on-link",
    ),
    (
        "network:\n  version: 2\n  ethernets:\n    lan: {routes: [{to: 10.0.0.0/8, via: 10.0.0.1, table: main}]}\n",
        "table",
    ),
    ("network:\n  version: 2\n  ethernets:\n    lan: {renderer: sriov}\n", "renderer"),
    ("network:\n  version: 2\n  ethernet:\n    lan: {}\n", "ethernets"),
    ("network:\n  version: 2\n  ethernets:\n    lan:\n", "lan"),
    ("network:\n  version: 2\n  bridges:\n    br: {interfaces: [none]}\n", "none"),
    ("network:\n  version: 2\n  ethernets:\n    lan: {id: 3}\n", "id"),
    ("network:\n  version: 2\n  ethernets:\n    lan: {match: {mac: '52:54:00:00:00:01'}}\n", "mac"),
    ("network:\n  version: 2\n  ethernets:\n    lan: {nameservers: {addresses: 10.0.0.1}}\n", "addresses"),
];

/// Whether netplan takes `text`, and what it says.
fn netplan(text: &str) -> (bool, String) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("etc/netplan");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("a.yaml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let verdict = judge("netplan").args(["generate", "--root-dir"]).arg(root.path()).run();
    (verdict.status.success(), format!("{}{}", verdict.stdout, verdict.stderr))
}

/// The errors, and the warnings.
fn told(renderer: Renderer, text: &str) -> (Vec<String>, Vec<String>) {
    let document = Document { name: "network-config", role: Role::NetworkConfig, bytes: text.as_bytes() };
    let report = check_for(renderer, &[document]);
    let of = |severity| {
        let findings = report.findings.iter().filter(|finding| finding.severity == severity);
        findings.map(|finding| format!("{} {:?}", finding.message, finding.label)).collect()
    };
    (of(Severity::Error), of(Severity::Warning))
}

#[test]
fn what_netplan_takes_is_taken() {
    for text in TAKEN {
        let (is_taken, said) = netplan(text);
        assert!(is_taken, "{text}{said}");
    }
    for text in NEWER {
        let (is_taken, said) = netplan(text);
        assert!(is_taken || said.contains("unknown key"), "{text}{said}");
    }
    for text in TAKEN.iter().chain(NEWER) {
        assert_eq!(told(Renderer::Netplan, text), (vec![], vec![]), "{text}");
        let (errors, _) = told(Renderer::Unknown, text);
        assert!(errors.is_empty(), "{text}{errors:?}");
    }
    // Where netplan is not known to be there, what a guest without it does not get is said.
    let (_, warnings) = told(Renderer::Unknown, TAKEN[0]);
    assert!(warnings.iter().any(|warning| warning.starts_with("only netplan knows `on-link`")), "{warnings:?}");
    let (errors, _) = told(Renderer::CloudInit, TAKEN[0]);
    assert!(errors.iter().any(|error| error.contains("`on-link`")), "{errors:?}");
}

#[test]
fn what_netplan_refuses_is_an_error() {
    for (text, word) in REFUSED {
        let (is_taken, said) = netplan(text);
        assert!(!is_taken && said.contains("Error"), "{text}{said}");
        let (errors, _) = told(Renderer::Netplan, text);
        assert!(
            errors.iter().any(|error| error.contains(&format!("`{word}`")) || error.contains(&format!(".{word}`"))),
            "{text}{errors:?}"
        );
        let (errors, warnings) = told(Renderer::Unknown, text);
        assert!(!errors.is_empty() || !warnings.is_empty(), "{text}");
    }
}
