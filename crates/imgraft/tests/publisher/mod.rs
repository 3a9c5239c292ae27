//! A site that publishes bases as Ubuntu and Debian do, with keys of its own.
#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::fs;
use std::path::PathBuf;

use catalogue::Digest;
use catalogue::cache::Algorithm;
use catalogue::openpgp::Fingerprint;
use testkit::fixture::{self, Options};
use testkit::site::Site;

use crate::gnupg::Home;
use crate::support::{Run, World};

pub(crate) const PRODUCTS: &str = "/releases/streams/v1/com.ubuntu.cloud:released:download.sjson";
pub(crate) const RELEASE: &str = "/releases/noble/release";
pub(crate) const IMAGE: &str = "ubuntu-24.04-server-cloudimg-amd64.img";

pub(crate) struct Publisher {
    pub(crate) site: Site,
    pub(crate) home: Home,
    pub(crate) key: Fingerprint,
    /// The small cloud image.
    pub(crate) image: Vec<u8>,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let home = Home::new();
        let key = home.key("publisher");
        fs::write(home.path("keyring"), home.export(&["publisher"])).unwrap();
        let image = fs::read(fixture::small_cloud_image(&Options::default())).unwrap();
        Self { site: Site::https(), home, key, image }
    }

    pub(crate) fn keyring(&self) -> PathBuf {
        self.home.path("keyring")
    }

    /// Arguments that take the place of the publisher's site, keys and certificates.
    pub(crate) fn arguments(&self, world: &World) -> String {
        format!(
            "--mirror {} --keyring {} --signer {} {}",
            self.site.url("").trim_end_matches('/'),
            self.keyring().display(),
            self.key,
            self.network(world)
        )
    }

    /// Arguments that have the certificates believed and the cache in the test's folder.
    pub(crate) fn network(&self, world: &World) -> String {
        format!("--ca {} --cache-dir {}", self.site.authority().display(), world.path("cache").display())
    }

    /// Publishes these builds of 24.04 in an index.
    pub(crate) fn put_streams(&self, builds: &[(&str, &[u8])]) {
        let path = PRODUCTS.trim_start_matches("/releases/").replace(".sjson", ".json");
        let index =
            format!(r#"{{"format":"index:1.0","index":{{"com.ubuntu.cloud:released:download":{{"path":"{path}"}}}}}}"#);
        self.site.put("/releases/streams/v1/index.sjson", self.inline(&index));
        let version = |(serial, image): &(&str, &[u8])| {
            let path = format!("server/releases/noble/release-{serial}/{IMAGE}");
            self.site.put(&format!("/releases/{path}"), *image);
            let (sha256, size) = (Digest::of(Algorithm::Sha256, image).hex(), image.len());
            format!(
                r#""{serial}":{{"items":{{"disk1.img":{{"path":"{path}","sha256":"{sha256}","size":{size}}}}},"label":"release"}}"#
            )
        };
        let versions: Vec<String> = builds.iter().map(version).collect();
        let products = format!(
            r#"{{"format":"products:1.0","products":{{"com.ubuntu.cloud:server:24.04:amd64":{{"versions":{{{}}}}}}}}}"#,
            versions.join(",")
        );
        self.site.put(PRODUCTS, self.inline(&products));
    }

    /// Publishes an image in a folder, with a signed list.
    pub(crate) fn put_folder(&self, folder: &str, file: &str, image: &[u8]) {
        let list = format!("{} *{file}\n", Digest::of(Algorithm::Sha256, image).hex());
        self.put_list(folder, &list, &self.detached(&list, &[]));
        self.site.put(&format!("{folder}/{file}"), image);
    }

    pub(crate) fn put_list(&self, folder: &str, list: &str, signature: &[u8]) {
        self.site.put(&format!("{folder}/SHA256SUMS"), list);
        self.site.put(&format!("{folder}/SHA256SUMS.gpg"), signature);
    }

    pub(crate) fn inline(&self, text: &str) -> Vec<u8> {
        self.home.sign(text.as_bytes(), &["--local-user", "publisher", "--clear-sign"])
    }

    pub(crate) fn detached(&self, text: &str, arguments: &[&str]) -> Vec<u8> {
        self.home.sign(text.as_bytes(), &[&["--local-user", "publisher", "--detach-sign"], arguments].concat())
    }

    /// What was said, with names for what differs from run to run, and without how far a download is.
    pub(crate) fn said(&self, world: &World, run: &Run) -> String {
        let said: String = run.stderr.split_inclusive('\n').filter(|line| !line.contains(" % of ")).collect();
        said.replace(&self.key.to_string(), "KEY")
            .replace(self.site.url("").trim_end_matches('/'), "SITE")
            .replace(&world.path("").display().to_string(), "")
    }
}

/// Runs it where the user has nothing of their own.
pub(crate) fn run(world: &World, arguments: &str) -> Run {
    let home = world.path("home").display().to_string();
    let none = [("SSL_CERT_FILE", ""), ("SSL_CERT_DIR", ""), ("IMGRAFT_CACHE_DIR", ""), ("XDG_CONFIG_HOME", "")];
    let proxies = ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"].map(|name| (name, ""));
    let variables = [&[("HOME", home.as_str())][..], &none, &proxies].concat();
    world.run_with(arguments, &variables)
}
