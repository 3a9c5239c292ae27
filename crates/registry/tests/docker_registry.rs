//! Push and pull with Debian's `docker-registry`, over TLS and with a password; `skopeo` is the judge.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::sync::Arc;

use catalogue::Cache;
use catalogue::transport::{Options, Retry, Roots, Silent};
use registry::{Blob, Error, Login, Part, Progress, Reference, Registry, artifact, container_disk};
use testkit::judge::judge;
use testkit::site::DockerRegistry;

pub(crate) struct Quiet;

impl Progress for Quiet {
    fn sent(&self, _: &Blob, _: u64) {}
    fn there(&self, _: &Blob) {}
}

fn options(server: &DockerRegistry) -> Options {
    let roots = Roots { file: Some(server.authority()), ..Roots::default() };
    Options { roots, retry: Retry { attempts: 1, ..Retry::default() }, ..Options::default() }
}

fn user(password: &str) -> Login {
    Login::User { name: DockerRegistry::USER.to_owned(), password: password.to_owned() }
}

/// Bytes that no compression makes small.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..count).map(step).collect()
}

#[test]
fn what_is_pushed_is_what_skopeo_sees_and_what_is_pulled() {
    let server = DockerRegistry::start();
    let folder = tempfile::tempdir().unwrap();
    let image = noise(3 << 20);
    fs::write(folder.path().join("my.qcow2"), &image).unwrap();
    let file = || Arc::new(File::open(folder.path().join("my.qcow2")).unwrap());
    let size_bytes = image.len() as u64;
    let name = format!("oci://{}/team/my:1.0", server.host());
    let reference: Reference = name.parse().unwrap();
    let registry = || Registry::new(&reference, options(&server), user(DockerRegistry::PASSWORD), false).unwrap();
    let skopeo = |arguments: &[&str]| {
        let login = format!("{}:{}", DockerRegistry::USER, DockerRegistry::PASSWORD);
        let certificates = server.authorities();
        let mut command = judge("skopeo").arg(arguments[0]);
        command = match arguments[0] {
            "inspect" => command.arg("--creds").arg(login).arg("--cert-dir").arg(certificates),
            _ => command.arg("--src-creds").arg(login).arg("--src-cert-dir").arg(certificates),
        };
        command.args(&arguments[1..]).succeed().stdout
    };

    // An artifact.
    let annotations = BTreeMap::from([("org.opencontainers.image.version".to_owned(), "1.0".to_owned())]);
    let blob = Blob::new(vec![Part::File { file: file(), size_bytes }], &|_| {}).unwrap();
    let (manifest, blobs) = artifact(blob, "application/x-qemu-disk", "my.qcow2", annotations);
    let first = registry().push(&manifest, &blobs, "1.0", &Quiet).unwrap();
    assert_eq!((first.sent_bytes, first.there_bytes), (size_bytes + 2, 0));
    let raw = skopeo(&["inspect", "--raw", &format!("docker://{}/team/my:1.0", server.host())]);
    let seen: serde_json::Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(seen["artifactType"], registry::ARTIFACT_TYPE);
    assert_eq!(seen["layers"][0]["annotations"]["org.opencontainers.image.title"], "my.qcow2");
    assert_eq!(seen["annotations"]["org.opencontainers.image.version"], "1.0");
    let again = registry().push(&manifest, &blobs, "again", &Quiet).unwrap();
    assert_eq!((again.sent_bytes, again.there_bytes), (0, size_bytes + 2), "nothing is sent twice");
    assert_eq!(again.digest, first.digest);
    let resolved = registry().resolve(&reference).unwrap();
    assert_eq!(resolved.digest, first.digest);

    let cache = Cache::new(folder.path().join("cache"));
    let pulled = registry().pull(&first.digest, "amd64", &cache, &Silent).unwrap();
    assert_eq!(fs::read(pulled.entry.path()).unwrap(), image);

    // A container disk.
    let make = || container_disk(file(), size_bytes, "my.qcow2", "amd64", BTreeMap::new(), &|_| {}).unwrap();
    let (manifest, blobs) = make();
    assert_eq!(make().0.digest(), manifest.digest());
    let pushed = registry().push(&manifest, &blobs, "disk", &Quiet).unwrap();
    let source = format!("docker://{}/team/my:disk", server.host());
    let seen: serde_json::Value = serde_json::from_str(&skopeo(&["inspect", &source])).unwrap();
    assert_eq!((&seen["Architecture"], &seen["Os"]), (&"amd64".into(), &"linux".into()));
    assert_eq!(seen["Digest"], pushed.digest.to_string());
    let copy = folder.path().join("copy");
    skopeo(&["copy", &source, &format!("dir:{}", copy.display())]);
    let layer = copy.join(seen["Layers"][0].as_str().unwrap().strip_prefix("sha256:").unwrap());
    let listed = judge("tar").args(["--numeric-owner", "--utc", "-tvf"]).arg(&layer).succeed().stdout;
    let fields: Vec<Vec<&str>> = listed.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    let size = size_bytes.to_string();
    assert_eq!(fields[0], ["drwxr-xr-x", "107/107", "0", "1970-01-01", "00:00", "disk/"]);
    assert_eq!(fields[1], ["-r--r-----", "107/107", &size, "1970-01-01", "00:00", "disk/my.qcow2"]);
    assert_eq!(fields.len(), 2);
    judge("tar").arg("-C").arg(folder.path()).arg("-xf").arg(&layer).succeed();
    assert_eq!(fs::read(folder.path().join("disk/my.qcow2")).unwrap(), image);
    let cache = Cache::new(folder.path().join("other cache"));
    let pulled = registry().pull(&pushed.digest, "amd64", &cache, &Silent).unwrap();
    assert_eq!(fs::read(pulled.entry.path()).unwrap(), image);
    assert_eq!(pulled.entry.digest().to_string(), blob_digest(&image));

    // The same in gzip, as other tools make it.
    let gzip = Blob::of_bytes(judge("gzip").arg("-nc").arg(&layer).succeed().stdout_bytes);
    let mut compressed = manifest.clone();
    compressed.layers[0].media_type.push_str("+gzip");
    (compressed.layers[0].digest, compressed.layers[0].size) = (gzip.digest().to_string(), gzip.size_bytes());
    let compressed = registry().push(&compressed, &[gzip, blobs[1].clone()], "gzip", &Quiet).unwrap();
    let cache = Cache::new(folder.path().join("third cache"));
    let pulled = registry().pull(&compressed.digest, "amd64", &cache, &Silent).unwrap();
    assert_eq!(fs::read(pulled.entry.path()).unwrap(), image);

    // Who has no right to it.
    let wrong = Registry::new(&reference, options(&server), user("wrong"), false).unwrap();
    let error = wrong.push(&manifest, &blobs, "wrong", &Quiet).unwrap_err();
    assert!(matches!(&error, Error::Denied { who, .. } if who == "the user `imgraft`"), "{error}");
    let nobody = Registry::new(&reference, options(&server), Login::Anonymous, false).unwrap();
    let error = nobody.resolve(&reference).unwrap_err();
    assert!(matches!(&error, Error::Denied { who, .. } if who == "who is not logged in"), "{error}");
    let missing = registry().resolve(&reference.with_tag(Some("wrong"))).unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
    // A server that nobody vouches for.
    let roots = Roots::default();
    let stranger = Registry::new(&reference, Options { roots, ..options(&server) }, Login::Anonymous, false).unwrap();
    let error = stranger.resolve(&reference).unwrap_err();
    assert!(matches!(&error, Error::Transport(error) if error.is_untrusted()), "{error}");

    // A registry whose disk lies.
    fs::write(server.blob(&pushed.digest.to_string()), b"{}").unwrap();
    let error = registry().resolve(&reference.with_digest(pushed.digest)).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. } | Error::Missing { .. } | Error::Refused { .. }), "{error}");
}

fn blob_digest(bytes: &[u8]) -> String {
    Blob::of_bytes(bytes.to_vec()).digest().to_string()
}
