//! cloud-init's own JSON Schemas.
//!
//! cloud-init reads them as draft 4, whatever they declare, with two changes: keywords beside a `$ref` count, and
//! `deprecated` and `changed` are reported, except in a branch that does not match.

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

impl Schema {
    fn text(self) -> &'static str {
        match self {
            Self::CloudConfig => include_str!("../../../schemas/schema-cloud-config-v1.json"),
            Self::NetworkV1 => include_str!("../../../schemas/schema-network-config-v1.json"),
            Self::NetworkV2 => include_str!("../../../schemas/schema-network-config-v2.json"),
        }
    }

    /// The definition for a configuration, if the schema has several that wrap it.
    fn definition(self) -> Option<&'static str> {
        match self {
            Self::CloudConfig => None,
            Self::NetworkV1 => Some("network_config_version1"),
            Self::NetworkV2 => Some("network_config_version2"),
        }
    }

    /// The schema; `None` if the one that we ship were invalid, which a test excludes.
    fn whole(self) -> &'static Json {
        static CLOUD_CONFIG: OnceLock<Json> = OnceLock::new();
        static NETWORK_V1: OnceLock<Json> = OnceLock::new();
        static NETWORK_V2: OnceLock<Json> = OnceLock::new();
        let place = match self {
            Self::CloudConfig => &CLOUD_CONFIG,
            Self::NetworkV1 => &NETWORK_V1,
            Self::NetworkV2 => &NETWORK_V2,
        };
        place.get_or_init(|| {
            let mut schema: Json = serde_json::from_str(self.text()).unwrap_or_default();
            count_beside_references(&mut schema);
            if let Some(definition) = self.definition() {
                schema["allOf"] = json!([{ "$ref": format!("#/$defs/{definition}") }]);
                if let Some(keywords) = schema.as_object_mut() {
                    keywords.remove("oneOf");
                }
            }
            schema
        })
    }

    /// The part of the schema that says something about the keys of `node`.
    ///
    /// A schema of cloud-config consists of some sixty modules, each with its own keys: modules without keys in the
    /// document need not be compiled, which would take longer than everything else.
    fn part(self, node: &Node) -> Json {
        let whole = self.whole();
        let concerns = |module: &Json| {
            let definition = module.get("$ref").and_then(Json::as_str).and_then(|name| whole.pointer(&name[1..]));
            let properties = definition.and_then(|definition| definition.get("properties")?.as_object());
            properties.is_none_or(|properties| properties.keys().any(|key| node.get(key).is_some()))
        };
        let modules = whole.get("allOf").and_then(Json::as_array).into_iter().flatten();
        let modules: Vec<Json> = match self {
            Self::CloudConfig => modules.filter(|module| concerns(module)).cloned().collect(),
            Self::NetworkV1 | Self::NetworkV2 => modules.cloned().collect(),
        };
        let mut part = json!({});
        // An empty list is not a valid schema.
        if !modules.is_empty() {
            part["allOf"] = Json::Array(modules);
        }
        for keyword in ["properties", "additionalProperties"] {
            if let Some(value) = whole.get(keyword) {
                part[keyword] = value.clone();
            }
        }
        let mut definitions = Map::new();
        collect_definitions(whole, &part, &mut definitions);
        part["$defs"] = Json::Object(definitions);
        part
    }

    /// `None` if the schema is invalid.
    fn compile(schema: &Json) -> Option<Validator> {
        jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .with_format("date", is_date)
            // cloud-init checks it if Python has a module for it, which Debian and Ubuntu do not install.
            .with_format("hostname", |_| true)
            .offline()
            .build(schema)
            .ok()
    }

    /// Compares `node` with the schema.
    pub(super) fn check(self, node: &Node, findings: &mut Findings<'_>) {
        let schema = self.part(node);
        let Some(validator) = Self::compile(&schema) else { return };
        let instance = instance::json(node, StandIn::Number);
        let other = instance::has_stand_in(node).then(|| instance::json(node, StandIn::Object));
        let errors = validator.iter_errors(&instance);
        let other = other.iter().flat_map(|other| validator.iter_errors(other));
        explain::errors(errors.chain(other), node, &schema, findings);
        deprecation::warnings(&validator.evaluate(&instance), node, &schema, findings);
    }

    /// The keys that a mapping can have at its top.
    pub(super) fn top_level_keys(self) -> Vec<&'static str> {
        let properties = self.whole().get("properties").and_then(Json::as_object);
        properties.map(|properties| properties.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// Keys that are within a key of the top: `name` is in `users`, and elsewhere.
    pub(super) fn keys_within(self) -> Vec<(&'static str, &'static str)> {
        let mut keys = Vec::new();
        let definitions = self.whole().get("$defs").and_then(Json::as_object);
        for definition in definitions.into_iter().flat_map(Map::values) {
            let modules = definition.get("properties").and_then(Json::as_object);
            for (module, schema) in modules.into_iter().flatten() {
                let mut inner = Vec::new();
                collect_keys(self.whole(), schema, MAX_COMBINED, &mut inner);
                keys.extend(inner.into_iter().map(|key| (key, module.as_str())));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// The definitions that `schema` refers to, directly or indirectly.
fn collect_definitions(whole: &Json, schema: &Json, definitions: &mut Map<String, Json>) {
    match schema {
        Json::Array(schemas) => schemas.iter().for_each(|schema| collect_definitions(whole, schema, definitions)),
        Json::Object(keywords) => {
            for value in keywords.values() {
                collect_definitions(whole, value, definitions);
            }
            let name = keywords.get("$ref").and_then(Json::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
            if let Some(name) = name.filter(|name| !definitions.contains_key(*name))
                && let Some(definition) = whole.get("$defs").and_then(|all| all.get(name))
            {
                definitions.insert(name.to_owned(), definition.clone());
                collect_definitions(whole, definition, definitions);
            }
        }
        _ => {}
    }
}

/// How deep nested forms are searched for keys.
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

/// Puts each `$ref` that has keywords beside it into an `allOf`, because draft 4 would ignore the keywords.
fn count_beside_references(schema: &mut Json) {
    match schema {
        Json::Array(schemas) => schemas.iter_mut().for_each(count_beside_references),
        Json::Object(keywords) => {
            keywords.values_mut().for_each(count_beside_references);
            // If `$ref` is a property's name, its value is not a string.
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
            assert!(schema.whole().get("allOf").is_some() && Schema::compile(schema.whole()).is_some(), "{schema:?}");
        }
        assert!(Schema::CloudConfig.top_level_keys().contains(&"runcmd"));
    }

    #[test]
    fn the_schemas_are_those_of_the_release() {
        use sha2::{Digest, Sha256};

        // Of the files at cloud-init's tag of that version.
        let digests = [
            (Schema::CloudConfig, "a2923d8886201b5478683cf9c6118a00d5603f36d69f8ad899c5b7909c807d63"),
            (Schema::NetworkV1, "bdddeca535ca380c5a4e3c360a0b87c9dcd63377a181a3d5d59e7d14577c37e4"),
            (Schema::NetworkV2, "0ad5a7b76e130909f4f6482c010c1765cc7bb8990fbc2b72186a3f2380a1788d"),
        ];
        let notice = include_str!("../../../schemas/NOTICE");
        assert!(notice.contains(&format!("version {CLOUD_INIT_VERSION} ")));
        for (schema, digest) in digests {
            let found: String = Sha256::digest(schema.text()).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, digest, "{schema:?}");
            assert!(notice.contains(digest), "{schema:?}");
        }
        let text = Schema::CloudConfig.text();
        assert!(!text.contains("generate_mirrorlists"), "it is in no release");
    }

    #[test]
    fn each_module_looks_at_its_own_keys() {
        let whole = Schema::CloudConfig.whole();
        let modules = whole["allOf"].as_array().unwrap();
        assert!(modules.len() > 50);
        for module in modules {
            let definition = whole.pointer(&module["$ref"].as_str().unwrap()[1..]).unwrap();
            let keywords: Vec<&String> = definition.as_object().unwrap().keys().collect();
            let is_open = definition.get("additionalProperties").is_none_or(|others| *others == Json::Bool(true));
            assert!(is_open, "{module}");
            let known = ["type", "properties", "additionalProperties"];
            assert!(keywords.iter().all(|keyword| known.contains(&keyword.as_str())), "{module}: {keywords:?}");
        }
    }

    #[test]
    fn dates_are_dates() {
        assert!(is_date("2030-02-28") && is_date("20300228"));
        assert!(!is_date("2030-02-30") && !is_date("2030-2-3") && !is_date("30-02-2003") && !is_date(""));
    }
}
