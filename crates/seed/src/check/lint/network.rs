//! Interfaces, addresses and references between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::check::finding::{Finding, Findings, Severity};
use crate::check::{Renderer, netplan};
use crate::yaml::{Entry, Node};

/// Looks at a configuration of version 2; whether it has an interface.
pub(in crate::check) fn version_2(config: &Node, renderer: Renderer, findings: &mut Findings<'_>) -> bool {
    let groups = netplan::kinds().filter_map(|kind| Some((kind, config.get(kind)?.entries()?)));
    let interfaces: Vec<(&str, &Entry)> =
        groups.flat_map(|(kind, entries)| entries.iter().map(move |entry| (kind, entry))).collect();
    if interfaces.is_empty() {
        findings.push(no_interface(config));
        return false;
    }
    let names: Vec<&str> = interfaces.iter().filter_map(|(_, entry)| entry.key.as_str()).collect();
    // netplan refuses an interface that is not defined; the others accept one that exists.
    let severity = if renderer == Renderer::Netplan { Severity::Error } else { Severity::Warning };
    let mut gateways: Vec<&Entry> = Vec::new();
    for (kind, entry) in &interfaces {
        let interface = &entry.value;
        if interface.entries().is_none() {
            continue;
        }
        matching(kind, entry, findings);
        for key in ["gateway4", "gateway6"] {
            if let Some(found) = interface.entry(key) {
                let message = format!("`{key}` is deprecated: netplan warns of it");
                let hint =
                    format!("use `routes: [{{to: default, via: {}}}]`", found.value.as_str().unwrap_or("ADDRESS"));
                findings.push(Finding::warning("deprecated", message, found.key.span.clone()).hint(hint));
                if key == "gateway4" {
                    gateways.push(found);
                }
                address(&found.value, false, findings);
            }
        }
        addresses(interface, findings);
        routes(interface, findings);
        for reference in references(kind, interface) {
            refers(reference, &names, severity, findings);
        }
    }
    if let [_, again, ..] = gateways[..] {
        let message = "a second interface has a default gateway: it is not defined which one is used";
        findings.push(Finding::warning("gateway", message, again.key.span.clone()));
    }
    true
}

fn no_interface(config: &Node) -> Finding {
    let span = crate::check::schema::first_line(config);
    Finding::warning("no-interface", "this configures no interface, so the guest has no network", span)
}

fn matching(kind: &str, entry: &Entry, findings: &mut Findings<'_>) {
    let interface = &entry.value;
    let found = interface.get("match");
    if let Some(node) = found.and_then(|found| found.get("macaddress")) {
        mac(node, findings);
    }
    if let Some(node) = interface.get("macaddress") {
        mac(node, findings);
    }
    if let (Some(name), None) = (interface.entry("set-name"), found) {
        let message = "`set-name` needs a `match` that says which interface gets the name";
        findings.push(Finding::error("match", message, name.key.span.clone()));
    }
    let name = entry.key.as_str().unwrap_or_default();
    if kind == "ethernets" && found.is_none() && name.contains(['*', '?', '[']) {
        let message = format!("`{name}` is read as the name of one interface");
        let hint = format!("to match several, use any name with `match: {{name: \"{name}\"}}`");
        findings.push(Finding::warning("match", message, entry.key.span.clone()).hint(hint));
    }
}

fn mac(node: &Node, findings: &mut Findings<'_>) {
    let is_mac = |text: &str| {
        let parts: Vec<&str> = text.split([':', '-']).collect();
        matches!(parts.len(), 6 | 20)
            && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if let Some(text) = node.as_str().filter(|text| !is_mac(text)) {
        let message = format!("`{text}` is not a MAC address");
        findings.push(Finding::error("mac", message, node.span.clone()).hint("as in `\"52:54:00:12:34:56\"`"));
    }
}

fn addresses(interface: &Node, findings: &mut Findings<'_>) {
    for item in interface.get("addresses").and_then(Node::items).unwrap_or_default() {
        // With options it is a mapping of one key.
        let node = item.entries().and_then(|entries| entries.first()).map_or(item, |entry| &entry.key);
        address(node, true, findings);
    }
    for item in interface
        .get("nameservers")
        .and_then(|servers| servers.get("addresses"))
        .and_then(Node::items)
        .unwrap_or_default()
    {
        address(item, false, findings);
    }
}

/// An address, with or without a prefix length.
fn address(node: &Node, has_prefix: bool, findings: &mut Findings<'_>) {
    let Some(text) = node.as_str() else { return };
    let (host, prefix) = text.split_once('/').map_or((text, None), |(host, prefix)| (host, Some(prefix)));
    let Ok(ip) = host.parse::<IpAddr>() else {
        let message = format!("`{text}` is not an IP address");
        return findings.push(Finding::error("address", message, node.span.clone()));
    };
    let most = if ip.is_ipv4() { 32 } else { 128 };
    match prefix {
        None if has_prefix => {
            let example = if ip.is_ipv4() { 24 } else { 64 };
            let message = format!("`{text}` has no prefix length");
            findings
                .push(Finding::error("address", message, node.span.clone()).hint(format!("as in `{text}/{example}`")));
        }
        Some(length) if length.parse::<u32>().map_or(true, |length| length > most) => {
            let message = format!("`/{length}` is not a prefix length: it must be from 0 to {most}");
            findings.push(Finding::error("address", message, node.span.clone()));
        }
        Some(_) if !has_prefix => {
            let message = format!("`{text}` is a network, but one address is needed");
            findings.push(Finding::error("address", message, node.span.clone()));
        }
        _ => {}
    }
}

fn routes(interface: &Node, findings: &mut Findings<'_>) {
    for route in interface.get("routes").and_then(Node::items).unwrap_or_default() {
        if let Some(via) = route.get("via") {
            address(via, false, findings);
        }
        let Some(to) = route.get("to") else { continue };
        let host = to.as_str().map(|text| text.split('/').next().unwrap_or_default());
        if let Some(text) = to.as_str().filter(|text| *text != "default")
            && host.is_none_or(|host| host.parse::<IpAddr>().is_err())
        {
            let message = format!("`{text}` is not a network");
            findings.push(Finding::error("address", message, to.span.clone()).hint("as in `10.0.0.0/8`, or `default`"));
        }
    }
}

/// Names of other interfaces.
fn references<'tree>(kind: &str, interface: &'tree Node) -> Vec<&'tree Node> {
    match kind {
        "bonds" | "bridges" | "vrfs" => {
            interface.get("interfaces").and_then(Node::items).unwrap_or_default().iter().collect()
        }
        "vlans" => interface.get("link").into_iter().collect(),
        _ => Vec::new(),
    }
}

fn refers(node: &Node, names: &[&str], severity: Severity, findings: &mut Findings<'_>) {
    let Some(name) = node.as_str().filter(|name| !names.contains(name)) else { return };
    let message = format!("there is no interface `{name}` here");
    let finding = Finding { severity, ..Finding::error("reference", message, node.span.clone()) };
    findings.push(match words::did_you_mean(name, names.iter().copied()) {
        Some(label) => finding.label(label),
        None => finding.hint("add `NAME: {}` under `ethernets` for an interface without settings of its own"),
    });
}

/// Looks at a configuration of version 1; whether it has an interface.
pub(in crate::check) fn version_1(config: &Node, findings: &mut Findings<'_>) -> bool {
    let items = config.get("config").and_then(Node::items).unwrap_or_default();
    let is_interface = |item: &&Node| !matches!(item.text("type"), Some("nameserver" | "route"));
    let names: Vec<&str> = items.iter().filter(is_interface).filter_map(|item| item.text("name")).collect();
    if names.is_empty() {
        findings.push(no_interface(config));
        return false;
    }
    for item in items {
        if let Some(node) = item.get("mac_address") {
            mac(node, findings);
        }
        for reference in ["bond_interfaces", "bridge_interfaces"] {
            for node in item.get(reference).and_then(Node::items).unwrap_or_default() {
                refers(node, &names, Severity::Warning, findings);
            }
        }
        if let Some(link) = item.get("vlan_link") {
            refers(link, &names, Severity::Warning, findings);
        }
        for subnet in item.get("subnets").and_then(Node::items).unwrap_or_default() {
            subnet_1(subnet, findings);
        }
    }
    true
}

fn subnet_1(subnet: &Node, findings: &mut Findings<'_>) {
    let kind = subnet.text("type").unwrap_or_default();
    let is_static = kind.starts_with("static");
    match subnet.get("address") {
        Some(node) => address_1(node, findings),
        None if is_static => {
            let span = crate::check::schema::first_line(subnet);
            findings.push(Finding::error("address", "a static subnet has no `address`", span));
        }
        None => {}
    }
    if let Some(node) = subnet.get("gateway") {
        address(node, false, findings);
    }
    let is_ipv6 = subnet.text("address").is_some_and(|text| text.contains(':'));
    // cloud-init ignores the mask if the address has a prefix length, and that of a subnet that is not static.
    let counts = is_static && !subnet.text("address").is_some_and(|text| text.contains('/'));
    if let Some(node) = subnet.get("netmask")
        && node.as_str().is_some_and(|text| !is_mask(text, is_ipv6))
    {
        let message = format!("`{}` is not a network mask", node.as_str().unwrap_or_default());
        let example = if is_ipv6 { "as in `64`" } else { "as in `255.255.255.0` or `24`" };
        let severity = if counts { Severity::Error } else { Severity::Warning };
        findings.push(Finding { severity, ..Finding::error("address", message, node.span.clone()) }.hint(example));
    }
}

/// An address of version 1. Without a prefix length cloud-init uses the `netmask`, or else 24 or
/// 64; a mask in the place of the length is valid too.
fn address_1(node: &Node, findings: &mut Findings<'_>) {
    let has_mask = node
        .as_str()
        .and_then(|text| text.split_once('/'))
        .is_some_and(|(host, mask)| host.parse::<Ipv4Addr>().is_ok() && mask.contains('.') && is_mask(mask, false));
    if !has_mask {
        let has_prefix = node.as_str().is_some_and(|text| text.contains('/'));
        address(node, has_prefix, findings);
    }
}

/// A prefix length, or a mask: ones and then zeros. Python's `ipaddress` accepts an inverted mask, too.
fn is_mask(text: &str, is_ipv6: bool) -> bool {
    let most = if is_ipv6 { 128 } else { 32 };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u32>().is_ok_and(|length| length <= most);
    }
    match is_ipv6 {
        true => text.parse::<Ipv6Addr>().is_ok_and(|mask| {
            let bits = u128::from(mask);
            bits.leading_ones() + bits.trailing_zeros() == 128
        }),
        false => text.parse::<Ipv4Addr>().is_ok_and(|mask| {
            let bits = u32::from(mask);
            let is_ordered = |bits: u32| bits.leading_ones() + bits.trailing_zeros() == 32;
            is_ordered(bits) || is_ordered(!bits)
        }),
    }
}
