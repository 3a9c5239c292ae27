//! Registries, as the arguments and the environment have them.

use std::path::PathBuf;
use std::time::Duration;

use catalogue::transport::Options;
use registry::{Error, Login, Reference};

use crate::bases::read_file;
use crate::environment;
use crate::failure::Failure;
use crate::network::{cache_failure, fetch_failure, options as network_options};

/// How long a registry may take to put away what it was sent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// How registries are asked.
pub(crate) fn options(ca: &[PathBuf], offline: bool) -> Options {
    Options { answer_timeout: ANSWER_TIMEOUT, stall_timeout: ANSWER_TIMEOUT / 2, ..network_options(ca, offline) }
}

/// Who asks the registry of `reference`: who is logged in there, by the files of Docker and Podman.
///
/// # Errors
///
/// A file that cannot be read, and a login that is not a password.
pub(crate) fn login(reference: &Reference) -> Result<Login, Failure> {
    for path in login_files() {
        let unusable = |error: &(dyn std::error::Error + 'static)| {
            Failure::because(format!("`{}` has no usable login for `{}`", path.display(), reference.host), error)
                .hint("log in by `--username NAME --password-stdin`, or by `podman login`, which keeps the password in a file")
        };
        let text = read_file(&path, Login::LIMIT_BYTES).map_err(|error| unusable(&error))?;
        let Some(text) = text else { continue };
        if let Some(login) = Login::in_file(&text, reference).map_err(|error| unusable(&error))? {
            return Ok(login);
        }
    }
    Ok(Login::Anonymous)
}

/// The files that logins are looked for in; the first that has one counts.
fn login_files() -> Vec<PathBuf> {
    if let Some(path) = environment::path("REGISTRY_AUTH_FILE") {
        return vec![path];
    }
    let podman = environment::path("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    let kept = environment::config_home().map(|folder| folder.join("containers/auth.json"));
    let docker = environment::path("DOCKER_CONFIG").or_else(|| Some(environment::home()?.join(".docker")));
    [podman, kept, docker.map(|folder| folder.join("config.json"))].into_iter().flatten().collect()
}

/// Why something did not go to a registry or come from it, and what to do about it.
pub(crate) fn registry_failure(error: &Error, reference: &Reference) -> Failure {
    match error {
        Error::Transport(error) => fetch_failure(error),
        Error::Cache(error) => cache_failure(error),
        Error::Denied { .. } => Failure::of(error).hint(format!(
            "log in with `docker login {host}` or `podman login {host}`, or give `publish` a user by `--username NAME \
             --password-stdin`; the user needs the right to it, too",
            host = reference.host
        )),
        Error::Refused { status: 507, .. } => Failure::of(error).hint("make room in the registry; nothing shows there"),
        _ => Failure::of(error),
    }
}
