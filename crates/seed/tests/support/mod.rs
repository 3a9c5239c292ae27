//! What the tests share: Python as a judge, and values written so that they can be compared.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs::File;
use std::io::Write;

use seed::yaml::{Node, Value};
use testkit::judge::judge;

/// Runs `program` in the system's Python with `input` as its standard input; what it printed, a line each.
pub(crate) fn python(program: &str, input: &str) -> Vec<String> {
    python_with(program, &[], input)
}

/// As [`python`], with arguments.
pub(crate) fn python_with(program: &str, arguments: &[&str], input: &str) -> Vec<String> {
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(input.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let python = judge("/usr/bin/python3").args(["-W", "ignore", "-c", program]);
    let verdict = python.args(arguments).stdin(file).succeed();
    verdict.stdout.lines().map(str::to_owned).collect()
}

/// A value as `write` in [`WRITE`] writes it.
pub(crate) fn written(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("bool {value}"),
        Value::Integer(value) => format!("int {value}"),
        Value::Float(value) if value.is_nan() => "float nan".to_owned(),
        Value::Float(value) => format!("float {:016x}", value.to_bits()),
        Value::String(text) => format!("str {}", hexadecimal(text.as_bytes())),
        Value::Binary(bytes) => format!("bytes {}", hexadecimal(bytes)),
        Value::Timestamp(text) => format!("time {text}"),
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Mapping(entries) => {
            let entry = |key: &Node, value: &Node| format!("{}: {}", written(key), written(value));
            let entries: Vec<String> = entries.iter().map(|e| entry(&e.key, &e.value)).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Other(_) => "other".to_owned(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Python that writes a value as [`written`] does, and reads texts from JSON lines.
pub(crate) const WRITE: &str = r#"
import datetime, json, struct, sys, yaml
def write(v):
    if v is None: return "null"
    if v is True or v is False: return "bool " + str(v).lower()
    if isinstance(v, int): return "int %d" % v
    if isinstance(v, float):
        return "float nan" if v != v else "float " + struct.pack(">d", v).hex()
    if isinstance(v, str): return "str " + v.encode("utf-8", "surrogatepass").hex()
    if isinstance(v, bytes): return "bytes " + v.hex()
    if isinstance(v, (datetime.date, datetime.datetime)): return "time " + v.isoformat()
    if isinstance(v, list) and v and isinstance(v[0], tuple): return "other"
    if isinstance(v, list): return "[" + ", ".join(map(write, v)) + "]"
    if isinstance(v, dict): return "{" + ", ".join(write(k) + ": " + write(x) for k, x in v.items()) + "}"
    return "other"
def load(text):
    try:
        return write(yaml.safe_load(text))
    except RecursionError:
        return "error"
    except Exception as e:
        return "error"
"#;

/// What PyYAML makes of each of `texts`; `error` where it refuses one.
pub(crate) fn pyyaml(texts: &[String]) -> Vec<String> {
    let input: Vec<String> = texts.iter().map(|text| serde_json::Value::from(text.as_str()).to_string()).collect();
    let program = format!("{WRITE}\nfor line in sys.stdin: print(load(json.loads(line)))\n");
    let said = python(&program, &(input.join("\n") + "\n"));
    assert_eq!(said.len(), texts.len(), "Python says a line to each");
    said
}

/// What we make of `text`.
pub(crate) fn ours(text: &str) -> String {
    match seed::yaml::parse(text) {
        Ok(tree) => written(&tree.root),
        Err(_) => "error".to_owned(),
    }
}

/// Numbers that look like chance and are the same each time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Python that holds configurations against a schema of ours with the installed cloud-init's validator. `changed`
/// is a keyword of cloud-init's since 24.1, and so is given to older ones here.
const VALIDATE: &str = r#"
import json, sys, yaml, functools
from cloudinit.config import schema as s
made = s.get_jsonschema_validator()
Validator = made[0]
def told(validator, value, instance, schema):
    if value:
        yield s.SchemaDeprecationError("x", version="1") if "version" in s.SchemaDeprecationError.__init__.__code__.co_varnames else s.SchemaDeprecationError("x")
Validator.VALIDATORS["deprecated"] = told
Validator.VALIDATORS["changed"] = told
schema = json.load(open(sys.argv[1]))
validator = Validator(schema, format_checker=made[1]())
def path(error):
    text = ""
    for step in error.path:
        text += "[%d]" % step if isinstance(step, int) else ("." if text else "") + str(step)
    return text
for line in sys.stdin:
    value = yaml.safe_load(json.loads(line))
    wrapped = sys.argv[2] == "network" and "network" in value
    try:
        errors = list(validator.iter_errors(value))
    except TypeError:
        # A key that is no text, where a pattern is looked for in it.
        print("[true, null]")
        continue
    known = [e for e in errors if isinstance(e, s.SchemaDeprecationError)]
    print(json.dumps([len(known) < len(errors), sorted({path(e) for e in known})]))
"#;

/// Whether each of `texts` is invalid by `schema`, and where something deprecated is in it, unless that cannot be said.
pub(crate) fn validate(schema: &str, texts: &[String]) -> Vec<(bool, Option<Vec<String>>)> {
    let path = format!("{}/schemas/{schema}.json", env!("CARGO_MANIFEST_DIR"));
    let kind = if schema.contains("network") { "network" } else { "cloud-config" };
    let input: Vec<String> = texts.iter().map(|text| serde_json::Value::from(text.as_str()).to_string()).collect();
    let said = python_with(VALIDATE, &[&path, kind], &(input.join("\n") + "\n"));
    assert_eq!(said.len(), texts.len(), "Python says a line to each");
    said.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Python that says in which lines cloud-init would mark a text, but for keys that are too much or missing.
const LINES: &str = r#"
import json, sys
from cloudinit import safeyaml
from cloudinit.config import schema as s
made = s.get_jsonschema_validator()
made[0].VALIDATORS["changed"] = lambda *a: iter(())
validator = made[0](json.load(open(sys.argv[1])), format_checker=made[1]())
for text in sys.stdin:
    value, marks = safeyaml.load_with_marks(json.loads(text))
    value.pop("schemamarks", None)
    lines = []
    try:
        for error in validator.iter_errors(value):
            if isinstance(error, s.SchemaDeprecationError) or error.validator in ("additionalProperties", "required"):
                continue
            lines.append(marks.get(".".join(map(str, error.path))))
    except TypeError:
        pass
    print(json.dumps([line for line in lines if line]))
"#;

/// The lines of each of `texts` in which cloud-init finds a value wrong by `schema`.
pub(crate) fn lines(schema: &str, texts: &[String]) -> Vec<Vec<usize>> {
    let path = format!("{}/schemas/{schema}.json", env!("CARGO_MANIFEST_DIR"));
    let input: Vec<String> = texts.iter().map(|text| serde_json::Value::from(text.as_str()).to_string()).collect();
    let said = python_with(LINES, &[&path], &(input.join("\n") + "\n"));
    assert_eq!(said.len(), texts.len(), "Python says a line to each");
    said.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}
