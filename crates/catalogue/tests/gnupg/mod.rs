//! GnuPG: keys and signatures that it makes in a home of its own, and what `gpgv` says of them.
#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use catalogue::openpgp::Fingerprint;
use tempfile::TempDir;
use testkit::judge::{Judge, judge};

/// A home with keys.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("gpg").permissions(fs::Permissions::from_mode(0o700)).tempdir();
        Self { folder: folder.unwrap() }
    }

    /// `gpg` in this home, that asks nothing.
    pub(crate) fn gpg(&self) -> Judge {
        let gpg = judge("gpg").env("GNUPGHOME", self.folder.path());
        gpg.args(["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""])
    }

    /// As [`gpg`](Self::gpg), at `time`, such as `20200101T000000`.
    pub(crate) fn gpg_at(&self, time: &str) -> Judge {
        self.gpg().arg("--faked-system-time").arg(format!("{time}!"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key with which one can sign; it is made at `time` and expires as `expires` says, in GnuPG's words.
    pub(crate) fn key_at(&self, time: &str, user: &str, algorithm: &str, usage: &str, expires: &str) -> Fingerprint {
        self.gpg_at(time).args(["--quick-generate-key", user, algorithm, usage, expires]).succeed();
        self.fingerprints(user)[0]
    }

    /// A key of today that does not expire.
    pub(crate) fn key(&self, user: &str) -> Fingerprint {
        self.key_at("20200101T000000", user, "ed25519", "sign", "never")
    }

    /// The fingerprints of a user's keys: that of the primary key, then those of subkeys.
    pub(crate) fn fingerprints(&self, user: &str) -> Vec<Fingerprint> {
        let list = self.gpg().args(["--with-colons", "--list-keys", user]).succeed().stdout;
        let lines = list.lines().filter_map(|line| line.strip_prefix("fpr:"));
        lines.map(|line| line.trim_matches(':').parse().unwrap()).collect()
    }

    /// The public keys of these users, in binary.
    pub(crate) fn export(&self, users: &[&str]) -> Vec<u8> {
        self.gpg().arg("--export").args(users).succeed().stdout_bytes
    }

    /// What `gpg` makes of `document` with these arguments.
    pub(crate) fn sign(&self, document: &[u8], arguments: &[&str]) -> Vec<u8> {
        self.sign_at("20240101T000000", document, arguments)
    }

    pub(crate) fn sign_at(&self, time: &str, document: &[u8], arguments: &[&str]) -> Vec<u8> {
        fs::write(self.path("document"), document).unwrap();
        self.gpg_at(time).args(["--output", "-"]).args(arguments).arg(self.path("document")).succeed().stdout_bytes
    }

    /// Runs `--edit-key` with these commands.
    pub(crate) fn edit_at(&self, time: &str, user: &str, commands: &[&str]) {
        fs::write(self.path("commands"), commands.join("\n") + "\n").unwrap();
        let commands = fs::File::open(self.path("commands")).unwrap();
        let gpg = judge("gpg").env("GNUPGHOME", self.folder.path()).args([
            "--yes",
            "--quiet",
            "--no-tty",
            "--status-fd",
            "2",
            "--command-fd",
            "0",
        ]);
        let gpg = gpg.args(["--expert", "--pinentry-mode", "loopback", "--passphrase", ""]);
        gpg.args(["--faked-system-time", &format!("{time}!"), "--edit-key", user]).stdin(commands).succeed();
    }

    /// Revokes a user's key by the certificate that was made with it.
    pub(crate) fn revoke(&self, fingerprint: Fingerprint) {
        let file = self.path(&format!("openpgp-revocs.d/{fingerprint}.rev"));
        // A colon keeps it from being imported by accident.
        let certificate = fs::read_to_string(&file).unwrap().replace(":-----BEGIN", "-----BEGIN");
        fs::write(self.path("revocation"), certificate).unwrap();
        self.gpg().arg("--import").arg(self.path("revocation")).succeed();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        judge("gpgconf").env("GNUPGHOME", self.folder.path()).args(["--kill", "all"]).run();
    }
}

/// What `gpgv` says.
#[derive(Debug)]
pub(crate) struct Gpgv {
    /// Whether it ended with 0.
    pub(crate) succeeded: bool,
    /// The first word of each of its status lines.
    pub(crate) words: Vec<String>,
    /// The fingerprints of its `VALIDSIG` lines: of the key, and of its primary key.
    pub(crate) valid: Vec<(Fingerprint, Fingerprint)>,
    pub(crate) said: String,
}

impl Gpgv {
    /// What it says of a detached signature, or of a document with one inside where there is none. It takes these
    /// digests for weak besides MD5.
    pub(crate) fn of(keys: &[u8], document: &[u8], signature: Option<&[u8]>, weak: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("keys"), keys).unwrap();
        fs::write(path("document"), document).unwrap();
        let gpgv = judge("gpgv").env("GNUPGHOME", folder.path()).args(["--status-fd", "1", "--keyring"]);
        let gpgv = gpgv.arg(path("keys")).args(weak.iter().flat_map(|digest| ["--weak-digest", digest]));
        let gpgv = match signature {
            Some(signature) => {
                fs::write(path("signature"), signature).unwrap();
                gpgv.arg(path("signature"))
            }
            None => gpgv,
        };
        let verdict = gpgv.arg(path("document")).run();
        let status: Vec<&str> = verdict.stdout.lines().filter_map(|line| line.strip_prefix("[GNUPG:] ")).collect();
        let valid = status.iter().filter_map(|line| line.strip_prefix("VALIDSIG ")).map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].parse().unwrap(), words[words.len() - 1].parse().unwrap())
        });
        Self {
            succeeded: verdict.status.success(),
            words: status.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect(),
            valid: valid.collect(),
            said: verdict.to_string(),
        }
    }

    pub(crate) fn says(&self, word: &str) -> bool {
        self.words.iter().any(|said| said == word)
    }

    /// Whether it takes every signature for good without a reservation.
    pub(crate) fn accepts(&self) -> bool {
        let reservations = ["EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG", "NODATA", "BADARMOR", "FAILURE"];
        self.succeeded
            && self.says("GOODSIG")
            && self.says("VALIDSIG")
            && !reservations.iter().any(|word| self.says(word))
    }
}
