//! The secret key that documents are signed with.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use provenance::{KEY_LIMIT_BYTES, KeyError, MANIFEST_NAMESPACE, SecretKey};

use crate::failure::Failure;

/// Reads the key at `path`.
pub(super) fn read(path: &Path) -> Result<SecretKey, Failure> {
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        Failure::because(format!("the key `{}` cannot be used", path.display()), error)
    };
    let mut file = File::open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    // As OpenSSH has it: of a key that is somebody else's, the mode is theirs to decide.
    let is_ours = metadata.uid() == rustix::process::getuid().as_raw();
    if metadata.is_file() && is_ours && metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(Failure::new(format!(
            "the key `{}` is not used: others may read it, its mode is {mode:04o}",
            path.display()
        ))
        .hint(format!("`chmod 600 {}`", path.display())));
    }
    // Large enough from the beginning: what grows leaves copies behind.
    let mut bytes = Vec::with_capacity(KEY_LIMIT_BYTES as usize + 1);
    (&mut file).take(KEY_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    SecretKey::parse(bytes).map_err(|error| {
        let key = path.display();
        let hint = match &error {
            KeyError::Encrypted => Some(format!(
                "sign afterwards, with the agent or by hand: \
                 `ssh-keygen -Y sign -n {MANIFEST_NAMESPACE} -f {key} MANIFEST` writes MANIFEST.sig"
            )),
            KeyError::OtherFormat => Some(format!("`ssh-keygen -p -f {key}` writes a key of SSH in that format")),
            _ => None,
        };
        unreadable(&error).hint_if(hint)
    })
}
