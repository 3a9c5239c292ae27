//! cloud-init's own JSON Schemas.
//!
//! cloud-init reads them as draft 4, whatever they say, with two changes: keywords beside a `$ref` count, and
//! `deprecated` and `changed` are told of. `deprecated` in a branch that does not fit tells nothing.

mod deprecation;
mod explain;
mod instance;

pub(super) use explain::{RULE, first_line};

use std::sync::OnceLock;

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value as Json, json};

use self::instance::StandIn;
use super::finding::Findings;
use crate::yaml::Node;

/// The version of cloud-init that the schemas are of.
pub const CLOUD_INIT_VERSION: &str = "26.2";

/// One of cloud-init's schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    CloudConfig,
    NetworkV1,
    NetworkV2,
}

struct Compiled {
    schema: Json,
    validator: Validator,
}

impl Schema {
    fn text(self) -> &'static str {
        match self {
            Self::CloudConfig => include_str!("../../../schemas/schema-cloud-config-v1.json"),
            Self::NetworkV1 => include_str!("../../../schemas/schema-network-config-v1.json"),
            Self::NetworkV2 => include_str!("../../../schemas/schema-network-config-v2.json"),
        }
    }

    /// The definition that a configuration has to fit, where the schema has several for it to be wrapped in.
    fn definition(self) -> Option<&'static str> {
        match self {
            Self::CloudConfig => None,
            Self::NetworkV1 => Some("network_config_version1"),
            Self::NetworkV2 => Some("network_config_version2"),
        }
    }

    fn compiled(self) -> Option<&'static Compiled> {
        static CLOUD_CONFIG: OnceLock<Option<Compiled>> = OnceLock::new();
        static NETWORK_V1: OnceLock<Option<Compiled>> = OnceLock::new();
        static NETWORK_V2: OnceLock<Option<Compiled>> = OnceLock::new();
        let place = match self {
            Self::CloudConfig => &CLOUD_CONFIG,
            Self::NetworkV1 => &NETWORK_V1,
            Self::NetworkV2 => &NETWORK_V2,
        };
        place.get_or_init(|| self.compile()).as_ref()
    }

    /// `None` where the schema that we ship were none, which a test excludes.
    fn compile(self) -> Option<Compiled> {
        let mut schema: Json = serde_json::from_str(self.text()).ok()?;
        count_beside_references(&mut schema);
        if let Some(definition) = self.definition() {
            let definitions = schema.get_mut("$defs")?.take();
            let reference = json!([{ "$ref": format!("#/$defs/{definition}") }]);
            schema = json!({ "$defs": definitions, "allOf": reference });
        }
        let validator = jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .with_format("date", is_date)
            // cloud-init has it checked where a module for it is there, which Debian and Ubuntu do not have.
            .with_format("hostname", |_| true)
            .offline()
            .build(&schema)
            .ok()?;
        Some(Compiled { schema, validator })
    }

    /// Holds `node` against the schema.
    pub(super) fn check(self, node: &Node, findings: &mut Findings<'_>) {
        let Some(compiled) = self.compiled() else { return };
        let instance = instance::json(node, StandIn::Number);
        let other = instance::has_stand_in(node).then(|| instance::json(node, StandIn::Object));
        let errors = compiled.validator.iter_errors(&instance);
        let other = other.iter().flat_map(|other| compiled.validator.iter_errors(other));
        explain::errors(errors.chain(other), node, &compiled.schema, findings);
        deprecation::warnings(&compiled.validator.evaluate(&instance), node, &compiled.schema, findings);
    }

    /// The keys that a mapping can have at its top.
    pub(super) fn top_level_keys(self) -> Vec<&'static str> {
        let properties = self.compiled().and_then(|compiled| compiled.schema.get("properties")?.as_object());
        properties.map(|properties| properties.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// Keys that are within a key of the top: `name` is in `users`, and elsewhere.
    pub(super) fn keys_within(self) -> Vec<(&'static str, &'static str)> {
        let Some(compiled) = self.compiled() else { return Vec::new() };
        let mut keys = Vec::new();
        let definitions = compiled.schema.get("$defs").and_then(Json::as_object);
        for definition in definitions.into_iter().flat_map(Map::values) {
            let modules = definition.get("properties").and_then(Json::as_object);
            for (module, schema) in modules.into_iter().flatten() {
                let mut inner = Vec::new();
                collect_keys(&compiled.schema, schema, MAX_COMBINED, &mut inner);
                keys.extend(inner.into_iter().map(|key| (key, module.as_str())));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// How deep forms are in forms that keys are looked for in.
const MAX_COMBINED: usize = 6;

/// The keys of a mapping, or of those in a list, in any of the forms that `schema` has.
fn collect_keys<'schema>(root: &'schema Json, schema: &'schema Json, depth: usize, keys: &mut Vec<&'schema str>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let properties = schema.get("properties").and_then(Json::as_object);
    keys.extend(properties.into_iter().flat_map(Map::keys).map(String::as_str));
    if let Some(found) =
        schema.get("$ref").and_then(Json::as_str).and_then(|name| root.pointer(name.strip_prefix('#')?))
    {
        collect_keys(root, found, depth, keys);
    }
    for keyword in ["oneOf", "anyOf", "allOf", "items"] {
        match schema.get(keyword) {
            Some(Json::Array(forms)) => forms.iter().for_each(|form| collect_keys(root, form, depth, keys)),
            Some(form) => collect_keys(root, form, depth, keys),
            None => {}
        }
    }
}

/// Puts each `$ref` that has keywords beside it into an `allOf`: draft 4 would have those ignored.
fn count_beside_references(schema: &mut Json) {
    match schema {
        Json::Array(schemas) => schemas.iter_mut().for_each(count_beside_references),
        Json::Object(keywords) => {
            keywords.values_mut().for_each(count_beside_references);
            // Where `$ref` is a property's name it is no text.
            if keywords.len() > 1
                && keywords.get("$ref").is_some_and(Json::is_string)
                && !keywords.contains_key("allOf")
            {
                let reference = keywords.remove("$ref");
                keywords.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
            }
        }
        _ => {}
    }
}

/// As Python's `date.fromisoformat`, but for weeks.
fn is_date(text: &str) -> bool {
    let digits: String = match text.as_bytes() {
        [_, _, _, _, b'-', _, _, b'-', _, _] => text.to_owned(),
        [_, _, _, _, _, _, _, _] if text.is_ascii() => format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]),
        _ => return false,
    };
    crate::yaml::is_date(&digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_are_schemas() {
        for schema in [Schema::CloudConfig, Schema::NetworkV1, Schema::NetworkV2] {
            assert!(schema.compiled().is_some(), "{schema:?}");
        }
        assert!(Schema::CloudConfig.top_level_keys().contains(&"runcmd"));
    }

    #[test]
    fn dates_are_dates() {
        assert!(is_date("2030-02-28") && is_date("20300228"));
        assert!(!is_date("2030-02-30") && !is_date("2030-2-3") && !is_date("30-02-2003") && !is_date(""));
    }
}
