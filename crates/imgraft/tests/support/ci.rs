//! What judges the files of services, and documents that have a library of their own.

use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::judge::{Judge, judge};

/// Each file, YAML or JSON, is what the schema says.
const SCHEMA: &str = "
import json, sys, yaml, jsonschema
schema = json.load(open(sys.argv[1]))
validator = jsonschema.validators.validator_for(schema)(schema)
class Loader(yaml.SafeLoader): pass
# `on` is a word in YAML 1.2, as these services read it.
Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if tag != 'tag:yaml.org,2002:bool' or first in 'tTfF']
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
wrong = [f'{name}: {error.json_path}: {error.message}' for name in sys.argv[2:]
         for error in validator.iter_errors(yaml.load(open(name), Loader))]
sys.exit('\\n'.join(wrong) or 0)
";

/// The folder of `scripts/ci-judges`, which `./test` fetches; there is none in `./test quick`.
pub(crate) fn ci_judges() -> Option<PathBuf> {
    let folder = std::env::var_os("IMGRAFT_TEST_CI_JUDGES").map(PathBuf::from);
    assert!(
        folder.is_some() || !cfg!(feature = "full-tests"),
        "IMGRAFT_TEST_CI_JUDGES is not set: see scripts/ci-judges"
    );
    folder
}

#[track_caller]
pub(crate) fn assert_schema(schema: &Path, files: &[&Path]) {
    judge("python3").args(["-c", SCHEMA]).arg(schema).args(files).succeed();
}

/// actionlint has nothing to say of workflows.
#[track_caller]
pub(crate) fn assert_actionlint(judges: &Path, files: &[&Path]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/actionlint.js");
    judge("node").arg(script).arg(judges).args(files).succeed();
}

/// What the formats' own libraries say of a document, as `documents.py` asks them.
pub(crate) fn library(kind: &str, judges: &Path, document: &Path) -> Judge {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/documents.py");
    judge("python3").env("PYTHONPATH", judges.join("python")).arg(script).arg(kind).arg(document)
}

/// What a file of YAML says.
pub(crate) fn yaml(path: &Path) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    serde_json::from_str(&judge("python3").args(["-c", script]).arg(path).succeed().stdout).unwrap()
}
