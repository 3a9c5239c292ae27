//! Proxies are those that curl would take.

use crate::support::{World, options};
use catalogue::transport::{Options, Proxies};
use catalogue::{Client, Transport};
use testkit::judge::judge;
use testkit::site::{Proxy, ProxyKind, Site};

const LIST: &str = "/SHA256SUMS";

#[test]
fn documents_come_through_the_proxy_that_is_for_them() {
    let site = Site::https();
    let plain = Site::http();
    site.put(LIST, "found");
    plain.put(LIST, "found");
    for kind in [ProxyKind::Connect, ProxyKind::Socks5] {
        let (own, all) = (Proxy::start(kind), Proxy::start(kind));
        let ask = |site: &Site, proxies: Proxies| {
            let client =
                Client::new(Options { proxies, ..options(if site.port() == plain.port() { &plain } else { site }) });
            client.small(&site.url(LIST), 100).map_err(|error| error.to_string())
        };
        let proxies = Proxies { all: Some(all.url()), ..Proxies::default() };
        assert_eq!(ask(&site, proxies.clone()), Ok(b"found".to_vec()));
        let proxies = Proxies { https: Some(own.url()), ..proxies };
        assert_eq!(ask(&site, proxies.clone()), Ok(b"found".to_vec()));
        let target = format!("127.0.0.1:{}", site.port());
        assert_eq!((own.targets(), all.targets()), (vec![target.clone()], vec![target.clone()]));
        // Nobody in between sees or makes what is in it: the certificate is the site's.
        let none_for = Some("127.0.0.1".to_owned());
        assert_eq!(ask(&site, Proxies { none_for, ..proxies.clone() }), Ok(b"found".to_vec()));
        assert_eq!((own.targets().len(), all.targets().len()), (1, 1));
        let proxies = Proxies { http: Some(own.url()), ..Proxies::default() };
        assert_eq!(ask(&plain, proxies.clone()), Ok(b"found".to_vec()));
        assert_eq!(ask(&site, proxies), Ok(b"found".to_vec()));
        assert_eq!(own.targets()[1..], [format!("127.0.0.1:{}", plain.port())]);
    }
}

#[test]
fn a_proxy_that_is_not_there_is_told() {
    let world = World::with(b"x");
    for (proxy, problem) in [
        ("http://ada:secret@127.0.0.1:1", "the proxy `127.0.0.1:1`: no connection could be made"),
        ("socks5://127.0.0.1:1/", "the proxy `127.0.0.1:1`: no connection could be made"),
        ("gopher://127.0.0.1:1", "its proxy's address is not `http://HOST:PORT`"),
        ("://", "its proxy's address is not `http://HOST:PORT`"),
    ] {
        let proxies = Proxies { https: Some(proxy.to_owned()), ..Proxies::default() };
        let client = Client::new(Options { proxies, ..world.options() });
        let url = world.site.url(LIST);
        let error = client.small(&url, 100).unwrap_err().to_string();
        assert_eq!(error, format!("`{url}`: {problem}"), "{proxy}");
    }
}

/// Which of `hosts` go without the proxy, as this crate has it: those that have another problem than the proxy.
fn ours(hosts: &[&str], none_for: &str) -> Vec<bool> {
    // No connection to a proxy is tried at all, as this is none.
    let proxies =
        Proxies { http: Some("gopher://x".to_owned()), none_for: Some(none_for.to_owned()), ..Proxies::default() };
    let mut options = Options { proxies, allow_http: true, ..Options::default() };
    options.retry.attempts = 1;
    options.connect_timeout = std::time::Duration::from_millis(50);
    let client = Client::new(options);
    hosts
        .iter()
        .map(|host| {
            let error = client.small(&format!("http://{host}:1/"), 10).unwrap_err().to_string();
            !error.contains("proxy's address")
        })
        .collect()
}

/// The same as curl has it.
fn curls(hosts: &[&str], none_for: &str) -> Vec<bool> {
    hosts
        .iter()
        .map(|host| {
            let curl = judge("curl").args(["-q", "-v", "-s", "--connect-timeout", "0.05"]);
            let curl = curl.env("http_proxy", "http://127.0.0.1:1").env("no_proxy", none_for);
            let said = curl.env("all_proxy", "").arg(format!("http://{host}:1/")).run().stderr;
            let uses_proxy = said.contains("Uses proxy env variable http_proxy");
            assert!(uses_proxy || said.contains("no_proxy"), "{said}");
            !uses_proxy
        })
        .collect()
}

#[test]
fn hosts_go_without_a_proxy_where_curl_does() {
    let hosts = [
        "example.invalid",
        "EXAMPLE.invalid",
        "a.example.invalid",
        "notexample.invalid",
        "invalid",
        "127.0.0.2",
        "127.1.0.2",
        "127.0.0.20",
        "[::1]",
    ];
    for none_for in [
        "*",
        "example.invalid",
        "Example.Invalid",
        ".example.invalid",
        "example.invalid.",
        "ample.invalid",
        "a.example.invalid,127.0.0.2",
        " example.invalid , 127.0.0.2 ",
        "example.invalid 127.0.0.2",
        "127.0.0.0/8",
        "127.0.0.0/16",
        "127.0.0.0/28",
        "127.0.0.0/32",
        "127.0.0",
        ".0.0.2",
        "::1",
        "[::1]",
        "*.example.invalid",
        "*,x",
        "x",
    ] {
        assert_eq!(ours(&hosts, none_for), curls(&hosts, none_for), "{none_for}: {hosts:?}");
    }
    // Networks of IPv6, which curl has documented, and 7.88 takes for none.
    for (none_for, goes_without) in [("::/64", true), ("::2/126", true), ("::2/127", false), ("0.0.0.0/0", false)] {
        assert_eq!(ours(&["[::1]"], none_for), [goes_without], "{none_for}");
    }
}
