//! How an image came to be, as an in-toto statement with SLSA provenance.

use serde_json::{Value, json};

use crate::manifest::Manifest;

/// The type of the predicate, as `actions/attest` takes it in `predicate-type`.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const BUILD_TYPE: &str = "https://github.com/imgraft/imgraft/blob/main/docs/provenance.md#build-type";
const BUILDER: &str = "https://github.com/imgraft/imgraft";

/// The predicate alone, for what makes the statement itself.
pub fn predicate(manifest: &Manifest) -> Vec<u8> {
    crate::pretty(&predicate_of(manifest))
}

/// The in-toto statement (version 1) about the images of `manifest`.
pub fn statement(manifest: &Manifest) -> Vec<u8> {
    let subject = |(name, sha256): (&String, &String)| json!({"name": name, "digest": {"sha256": sha256}});
    let subjects = manifest.outputs.iter().map(|output| (&output.name, &output.sha256)).map(subject);
    crate::pretty(&json!({
        "_type": STATEMENT_TYPE,
        "subject": subjects.collect::<Vec<Value>>(),
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate_of(manifest),
    }))
}

fn predicate_of(manifest: &Manifest) -> Value {
    let dependency = |name: &str, sha256: &str, uri: Option<&String>| {
        let mut dependency = json!({"name": name, "digest": {"sha256": sha256}});
        if let Some(uri) = uri {
            dependency["uri"] = json!(uri);
        }
        dependency
    };
    let Manifest { tool, recipe, base, inputs, operations, .. } = manifest;
    let address = base.published.as_ref().map(|published| &published.address);
    let mut dependencies = vec![dependency(&base.name, &base.sha256, address)];
    dependencies.extend(base.lock.iter().chain(recipe).map(|file| dependency(&file.name, &file.sha256, None)));
    dependencies.extend(inputs.iter().map(|input| dependency(&input.name, &input.sha256, None)));
    let mut external = json!({"base": base.name, "operations": operations});
    if let Some(recipe) = recipe {
        external["recipe"] = json!(recipe.name);
    }
    let mut builder = json!({"id": BUILDER, "version": {&tool.name: tool.version}});
    if let Some(sha256) = &tool.sha256 {
        builder["builderDependencies"] = json!([dependency(&tool.name, sha256, None)]);
    }
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": external,
            "resolvedDependencies": dependencies,
        },
        "runDetails": {"builder": builder},
    })
}
