//! netplan's keys and their values, for all kinds of interfaces. The facts come from netplan 1.2's `src/parse.c`.

/// What the value of a key can be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Any scalar.
    Scalar,
    /// A boolean, or a word for one.
    Bool,
    /// A whole number, in quotes or not.
    Number,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of scalars.
    Scalars,
    /// A list whose items are scalars or mappings from one scalar to options.
    Addresses,
    /// A list of lists.
    Pairs,
    /// A scalar or a list of scalars.
    ScalarOrScalars,
    /// A scalar or a mapping of these keys.
    ScalarOr(Keys),
    /// A mapping of any keys to scalars.
    Map,
    /// A mapping of these keys.
    Keys(Keys),
    /// A mapping of any names to mappings of these keys.
    Named(Keys),
    /// A list of mappings of these keys.
    List(Keys),
}

/// Keys, in groups that kinds of interfaces share.
pub(super) type Keys = &'static [&'static [(&'static str, Shape)]];

use Shape::{
    Addresses, Bool, Keys as Mapping, List, Map, Named, Number, Pairs, Scalar, ScalarOr, ScalarOrScalars, Scalars, Word,
};

pub(super) const RENDERERS: Shape = Word(&["networkd", "NetworkManager"]);

/// The keys of `network` that are not kinds of interfaces.
pub(super) const TOP: &[(&str, Shape)] = &[
    ("version", Number),
    ("renderer", RENDERERS),
    (
        "openvswitch",
        Mapping(&[&[
            ("external-ids", Map),
            ("other-config", Map),
            ("protocols", Scalars),
            ("ports", Pairs),
            ("ssl", Mapping(&[&[("ca-cert", Scalar), ("certificate", Scalar), ("private-key", Scalar)]])),
        ]]),
    ),
];

/// The kinds of interfaces and their keys.
pub(super) const KINDS: &[(&str, Keys)] = &[
    ("ethernets", &[ANY, BACKENDS, PHYSICAL, ETHERNET]),
    ("bonds", &[ANY, BACKENDS, &[("interfaces", Scalars), ("parameters", Mapping(&[BOND]))]]),
    ("bridges", &[ANY, BACKENDS, &[("interfaces", Scalars), ("parameters", Mapping(&[BRIDGE]))]]),
    // Before the common keys: this kind has one more renderer.
    (
        "vlans",
        &[
            &[("renderer", Word(&["networkd", "NetworkManager", "sriov"])), ("id", Number), ("link", Scalar)],
            ANY,
            BACKENDS,
        ],
    ),
    (
        "wifis",
        &[
            ANY,
            BACKENDS,
            PHYSICAL,
            &[("access-points", Named(&[ACCESS_POINT])), ("auth", Mapping(&[AUTH])), ("regulatory-domain", Scalar)],
        ],
    ),
    ("modems", &[ANY, BACKENDS, PHYSICAL, MODEM]),
    ("tunnels", &[ANY, BACKENDS, TUNNEL]),
    ("vrfs", &[ANY, BACKENDS, &[("interfaces", Scalars), ("table", Number)]]),
    ("dummy-devices", &[ANY, BACKENDS]),
    ("virtual-ethernets", &[ANY, BACKENDS, &[("peer", Scalar)]]),
    ("nm-devices", &[ANY, BACKENDS, PHYSICAL, ETHERNET]),
];

const ANY: &[(&str, Shape)] = &[
    ("accept-ra", Bool),
    ("activation-mode", Word(&["manual", "off"])),
    ("addresses", Addresses),
    ("critical", Bool),
    ("ignore-carrier", Bool),
    ("dhcp4", Bool),
    ("dhcp6", Bool),
    ("dhcp-identifier", Word(&["duid", "mac"])),
    ("dhcp4-overrides", Mapping(&[DHCP])),
    ("dhcp6-overrides", Mapping(&[DHCP])),
    ("ra-overrides", Mapping(&[&[("use-dns", Bool), ("use-domains", Scalar), ("table", Number)]])),
    ("gateway4", Scalar),
    ("gateway6", Scalar),
    ("ipv6-address-generation", Word(&["eui64", "stable-privacy"])),
    ("ipv6-address-token", Scalar),
    ("ipv6-mtu", Number),
    ("ipv6-privacy", Bool),
    ("link-local", Scalars),
    ("macaddress", Scalar),
    ("mtu", Number),
    ("nameservers", Mapping(&[&[("search", Scalars), ("addresses", Scalars)]])),
    ("optional", Bool),
    ("optional-addresses", Scalars),
    ("renderer", RENDERERS),
    ("routes", List(&[ROUTE])),
    ("routing-policy", List(&[RULE])),
    ("hairpin", Bool),
    ("port-mac-learning", Bool),
    ("neigh-suppress", Bool),
];

const BACKENDS: &[(&str, Shape)] = &[("networkmanager", Mapping(&[NETWORK_MANAGER])), ("openvswitch", Mapping(&[OVS]))];

const NETWORK_MANAGER: &[(&str, Shape)] =
    &[("name", Scalar), ("uuid", Scalar), ("stable-id", Scalar), ("device", Scalar), ("passthrough", Map)];

const OVS: &[(&str, Shape)] = &[
    ("external-ids", Map),
    ("other-config", Map),
    ("lacp", Word(&["active", "passive", "off"])),
    ("fail-mode", Word(&["secure", "standalone"])),
    ("mcast-snooping", Bool),
    ("rstp", Bool),
    ("protocols", Scalars),
    ("controller", Mapping(&[&[("addresses", Scalars), ("connection-mode", Word(&["in-band", "out-of-band"]))]])),
];

const PHYSICAL: &[(&str, Shape)] = &[
    ("match", Mapping(&[&[("driver", ScalarOrScalars), ("macaddress", Scalar), ("name", Scalar)]])),
    ("set-name", Scalar),
    ("wakeonlan", Bool),
    ("wakeonwlan", Scalars),
    ("emit-lldp", Bool),
    ("receive-checksum-offload", Bool),
    ("transmit-checksum-offload", Bool),
    ("tcp-segmentation-offload", Bool),
    ("tcp6-segmentation-offload", Bool),
    ("generic-segmentation-offload", Bool),
    ("generic-receive-offload", Bool),
    ("large-receive-offload", Bool),
];

const ETHERNET: &[(&str, Shape)] = &[
    ("auth", Mapping(&[AUTH])),
    ("link", Scalar),
    ("virtual-function-count", Number),
    ("embedded-switch-mode", Word(&["switchdev", "legacy"])),
    ("delay-virtual-functions-rebind", Bool),
    ("infiniband-mode", Word(&["datagram", "connected"])),
];

const DHCP: &[(&str, Shape)] = &[
    ("hostname", Scalar),
    ("route-metric", Number),
    ("send-hostname", Bool),
    ("use-dns", Bool),
    ("use-domains", Scalar),
    ("use-hostname", Bool),
    ("use-mtu", Bool),
    ("use-ntp", Bool),
    ("use-routes", Bool),
];

const ROUTE: &[(&str, Shape)] = &[
    ("from", Scalar),
    ("on-link", Bool),
    ("scope", Word(&["global", "link", "host"])),
    ("table", Number),
    ("to", Scalar),
    (
        "type",
        Word(&[
            "unicast",
            "anycast",
            "blackhole",
            "broadcast",
            "local",
            "multicast",
            "nat",
            "prohibit",
            "throw",
            "unreachable",
            "xresolve",
        ]),
    ),
    ("via", Scalar),
    ("metric", Number),
    ("mtu", Number),
    ("congestion-window", Number),
    ("advertised-receive-window", Number),
    ("advertised-mss", Number),
];

const RULE: &[(&str, Shape)] = &[
    ("from", Scalar),
    ("mark", Number),
    ("priority", Number),
    ("table", Number),
    ("to", Scalar),
    ("type-of-service", Number),
];

const AUTH: &[(&str, Shape)] = &[
    ("key-management", Word(&["none", "psk", "psk-sha256", "eap", "eap-sha256", "eap-suite-b-192", "sae", "802.1x"])),
    ("method", Word(&["tls", "peap", "ttls", "leap", "pwd"])),
    ("identity", Scalar),
    ("anonymous-identity", Scalar),
    ("password", Scalar),
    ("ca-certificate", Scalar),
    ("client-certificate", Scalar),
    ("client-key", Scalar),
    ("client-key-password", Scalar),
    ("phase2-auth", Scalar),
];

const ACCESS_POINT: &[(&str, Shape)] = &[
    ("band", Word(&["5GHz", "5G", "2.4GHz", "2.4G"])),
    ("bssid", Scalar),
    ("hidden", Bool),
    ("channel", Number),
    ("mode", Word(&["infrastructure", "adhoc", "ap"])),
    ("password", Scalar),
    ("auth", Mapping(&[AUTH])),
    ("networkmanager", Mapping(&[NETWORK_MANAGER])),
];

const BRIDGE: &[(&str, Shape)] = &[
    ("ageing-time", Scalar),
    ("aging-time", Scalar),
    ("forward-delay", Scalar),
    ("hello-time", Scalar),
    ("max-age", Scalar),
    ("path-cost", Map),
    ("port-priority", Map),
    ("priority", Number),
    ("stp", Bool),
];

const BOND: &[(&str, Shape)] = &[
    (
        "mode",
        Word(&[
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
            "balance-tcp",
            "balance-slb",
        ]),
    ),
    // netplan leaves the word to the renderer.
    ("lacp-rate", Scalar),
    ("mii-monitor-interval", Scalar),
    ("min-links", Number),
    ("transmit-hash-policy", Scalar),
    ("ad-select", Scalar),
    ("all-slaves-active", Bool),
    ("all-members-active", Bool),
    ("arp-interval", Scalar),
    ("arp-ip-targets", Scalars),
    ("arp-validate", Scalar),
    ("arp-all-targets", Scalar),
    ("up-delay", Scalar),
    ("down-delay", Scalar),
    ("fail-over-mac-policy", Scalar),
    ("gratuitous-arp", Number),
    ("gratuitious-arp", Number),
    ("packets-per-slave", Number),
    ("packets-per-member", Number),
    ("primary-reselect-policy", Scalar),
    ("resend-igmp", Number),
    ("learn-packet-interval", Scalar),
    ("primary", Scalar),
];

const MODEM: &[(&str, Shape)] = &[
    ("apn", Scalar),
    ("auto-config", Bool),
    ("device-id", Scalar),
    ("network-id", Scalar),
    ("number", Scalar),
    ("password", Scalar),
    ("pin", Scalar),
    ("sim-id", Scalar),
    ("sim-operator-id", Scalar),
    ("username", Scalar),
];

const TUNNEL_KEYS: &[(&str, Shape)] =
    &[("input", Scalar), ("output", Scalar), ("private", Scalar), ("private-key-flags", Scalars)];

const PEER: &[(&str, Shape)] = &[
    ("keys", Mapping(&[&[("public", Scalar), ("shared", Scalar)]])),
    ("keepalive", Number),
    ("endpoint", Scalar),
    ("allowed-ips", Scalars),
];

const TUNNEL: &[(&str, Shape)] = &[
    (
        "mode",
        Word(&[
            "ipip",
            "gre",
            "sit",
            "isatap",
            "vti",
            "ip6ip6",
            "ipip6",
            "ip6gre",
            "vti6",
            "gretap",
            "ip6gretap",
            "vxlan",
            "wireguard",
        ]),
    ),
    ("local", Scalar),
    ("remote", Scalar),
    ("ttl", Number),
    ("key", ScalarOr(&[TUNNEL_KEYS])),
    ("keys", ScalarOr(&[TUNNEL_KEYS])),
    ("mark", Number),
    ("port", Number),
    ("peers", List(&[PEER])),
    ("link", Scalar),
    ("ageing", Number),
    ("aging", Number),
    ("id", Number),
    ("limit", Number),
    ("type-of-service", Number),
    ("flow-label", Number),
    ("do-not-fragment", Bool),
    ("short-circuit", Bool),
    ("arp-proxy", Bool),
    ("mac-learning", Bool),
    ("notifications", Scalars),
    ("checksums", Scalars),
    ("extensions", Scalars),
    ("port-range", Scalars),
];
