//! Debian's `docker-registry` on loopback, with TLS and a password.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::certificate;
use crate::judge::find;

/// `imgraft` with the password `graft:secret`, as `htpasswd -nbB` has it.
const USERS: &str = "imgraft:$2y$05$pSTsUhU.ehxut/9XuR/h5evvDbxKZr6pSmhDleI1aXrG5VDjLUy5G\n";

/// How long the registry may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A registry with nothing in it. It ends when it is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl DockerRegistry {
    /// The one user.
    pub const USER: &str = "imgraft";
    /// The user's password.
    pub const PASSWORD: &str = "graft:secret";

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    ///
    /// If `docker-registry` is not installed.
    pub fn start() -> Self {
        let program = find("docker-registry").expect("the judge `docker-registry` is installed by ./test");
        let folder = tempfile::tempdir().unwrap();
        let certificate = certificate::make(false);
        let path = |name: &str| folder.path().join(name);
        // skopeo takes a folder of authorities, by this ending.
        std::fs::create_dir(path("certs")).unwrap();
        std::fs::write(path("certs/authority.crt"), &certificate.authority_pem).unwrap();
        std::fs::write(path("server.pem"), &certificate.server_pem).unwrap();
        std::fs::write(path("key.pem"), &certificate.key_pem).unwrap();
        std::fs::write(path("users"), USERS).unwrap();
        // Another process may take the port before the registry does: then it ends at once, and another one is tried.
        for _ in 0..10 {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            let at = folder.path().display();
            let config = format!(
                "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {at}/data\nhttp:\n  \
                 addr: 127.0.0.1:{port}\n  tls:\n    certificate: {at}/server.pem\n    key: {at}/key.pem\nauth:\n  \
                 htpasswd:\n    realm: test\n    path: {at}/users\n"
            );
            std::fs::write(path("config.yml"), config).unwrap();
            let log = std::fs::File::create(path("log")).unwrap();
            let mut child = Command::new(&program)
                .args(["serve".as_ref(), path("config.yml").as_os_str()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            let begin = Instant::now();
            while begin.elapsed() < START_TIMEOUT && child.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, folder, port };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("docker-registry does not start: {}", std::fs::read_to_string(path("log")).unwrap_or_default());
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The folder with the certificate of the authority that vouches for it.
    pub fn authorities(&self) -> PathBuf {
        self.folder.path().join("certs")
    }

    /// The file in that folder.
    pub fn authority(&self) -> PathBuf {
        self.authorities().join("authority.crt")
    }

    /// Where the registry keeps what it has.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A file with the login, as `docker login` writes it, in a folder that lives as long as the registry.
    pub fn login_file(&self) -> PathBuf {
        let path = self.folder.path().join("config.json");
        // `imgraft:graft:secret` in base64.
        let text = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"aW1ncmFmdDpncmFmdDpzZWNyZXQ=\"}}}}}}", self.host());
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The path of the data of a blob, `sha256:…`, which the registry has.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let folder = Path::new("docker/registry/v2/blobs/sha256");
        self.data().join(folder).join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
