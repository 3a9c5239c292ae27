//! Reads the text of a recipe.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::boot::{BOOT_KEYS, COMMAND_KEYS, FILE_KEYS, boot};
use crate::form::Form;
use crate::limit::CommandLimits;
use crate::matrix::{self, Cell, Filled, Matrix};
use crate::problem::Problem;
use crate::recipe::{Base, BaseName, Input, Keep, Recipe, Step};
use crate::table::{Table, Value};
use crate::template::Template;

const RECIPE_KEYS: [&str; 12] =
    ["output", "size", "network", "clean", "timeout", "memory", "base", "inputs", "step", "keep", "boot", "matrix"];
const OUTPUT_KEYS: [&str; 7] = ["file", "release", "format", "overlay", "cluster-size", "compat", "compression-type"];
const BASE_KEYS: [&str; 4] = ["name", "arch", "variant", "file"];
const INPUT_KEYS: [&str; 2] = ["about", "file"];
const KEEP_KEYS: [&str; 1] = ["packages"];

/// Each table of a recipe, by its name in one, with the keys that it may have. Those of a `[[step]]` are not here: whoever
/// reads a recipe says what they are.
pub const KEYS: [(&str, &[&str]); 8] = [
    ("", &RECIPE_KEYS),
    ("output", &OUTPUT_KEYS),
    ("base", &BASE_KEYS),
    ("inputs.NAME", &INPUT_KEYS),
    ("keep", &KEEP_KEYS),
    ("boot", &BOOT_KEYS),
    ("boot.command", &COMMAND_KEYS),
    ("boot.file", &FILE_KEYS),
];

impl<S: Step> Recipe<S> {
    /// Reads the recipe `text`, of one with a `[matrix]` its first cell.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        read(text, None).map(|filled| filled.recipe)
    }

    /// Reads the recipe `text` with the values of `cell`.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_cell(text: &str, cell: &Cell) -> Result<Filled<S>, Vec<Problem>> {
        read(text, Some(cell))
    }

    /// Reads the `[matrix]` of the recipe `text`, if it has one.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn matrix(text: &str) -> Result<Option<Matrix>, Vec<Problem>> {
        let mut problems = Vec::new();
        let matrix = matrix::take(document(text)?.get_mut(), &mut problems);
        sorted(problems).map_or(Ok(matrix), Err)
    }
}

fn document(text: &str) -> Result<Spanned<DeTable<'_>>, Vec<Problem>> {
    DeTable::parse(text).map_err(|error| {
        let message = error.message().trim_end_matches('.').to_owned();
        vec![Problem { message, span: error.span(), label: None, hint: None }]
    })
}

fn read<S: Step>(text: &str, cell: Option<&Cell>) -> Result<Filled<S>, Vec<Problem>> {
    let mut document = document(text)?;
    let span = document.span();
    let mut problems = Vec::new();
    let matrix = matrix::take(document.get_mut(), &mut problems);
    let first = || matrix.and_then(|matrix| matrix.cells().into_iter().next()).unwrap_or_default();
    if problems.is_empty() {
        matrix::fill(document.get_mut(), &cell.cloned().unwrap_or_else(first), &mut problems);
    }
    let recipe = recipe(document.get_ref(), text, span, &mut problems);
    let mut canonical = String::new();
    matrix::canonical(document.get_ref(), &mut canonical);
    sorted(problems).map_or(Ok(Filled { recipe, canonical }), Err)
}

/// The problems in the order of the text, if there are any.
fn sorted(mut problems: Vec<Problem>) -> Option<Vec<Problem>> {
    problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
    Some(problems).filter(|problems| !problems.is_empty())
}

fn recipe<S: Step>(document: &DeTable<'_>, text: &str, span: Range<usize>, problems: &mut Vec<Problem>) -> Recipe<S> {
    let mut table = Table::of(document, span, "a recipe", &RECIPE_KEYS, problems);
    let (output, release, form) = match table.get("output") {
        Some(value) if matches!(value.get_ref(), DeValue::Table(_)) => output(value, text, table.problems()),
        _ => (template(&mut table, "output", text), None, Form::default()),
    };
    let size = table.parsed("size");
    let network = table.boolean("network").unwrap_or_default();
    let clean = table.boolean("clean").unwrap_or_default();
    let limits = CommandLimits { time: table.parsed("timeout"), memory: table.parsed("memory") };
    let base = table.get("base").and_then(|value| base(value, table.problems()));
    let mut inputs = BTreeMap::new();
    for (name, value) in table.named_tables("inputs") {
        inputs.insert(name.to_owned(), input(value, text, table.problems()).unwrap_or_default());
    }
    let steps = table.array("step");
    let steps = steps.into_iter().filter_map(|value| S::read(value, &inputs, table.problems())).collect();
    let keep = table.get("keep").and_then(|value| keep(value, table.problems())).unwrap_or_default();
    let boot = table.get("boot").and_then(|value| boot(value, table.problems())).unwrap_or_default();
    Recipe { output, release, form, size, network, clean, limits, base, inputs, steps, keep, boot }
}

/// The name of a file, with placeholders.
fn template(table: &mut Table<'_, '_>, key: &str, text: &str) -> Option<Template> {
    let name = table.string(key)?;
    let span = table.span_of(key)?;
    Template::parse(name, text, &span).map_err(|problems| table.problems().extend(problems)).ok()
}

/// An `output` that is a table: the image's name, its name as a release, and its form.
fn output(value: &Value<'_>, text: &str, problems: &mut Vec<Problem>) -> (Option<Template>, Option<Template>, Form) {
    let Some(mut table) = Table::new(value, "`output`", &OUTPUT_KEYS, problems) else { return Default::default() };
    let form = Form {
        format: table.parsed("format"),
        overlay: table.boolean("overlay").unwrap_or_default(),
        cluster_size: table.parsed("cluster-size"),
        compat: table.parsed("compat"),
        compression_type: table.parsed("compression-type"),
    };
    (template(&mut table, "file", text), template(&mut table, "release", text), form)
}

fn base(value: &Value<'_>, problems: &mut Vec<Problem>) -> Option<Base> {
    let mut table = Table::new(value, "`base`", &BASE_KEYS, problems)?;
    let name = match table.string("name").map(str::parse::<BaseName>) {
        Some(Ok(name)) => Some(name),
        Some(Err(error)) => {
            let span = table.span_of("name").unwrap_or_default();
            let hint = format!("if you mean a file of yours, write `file = {:?}`", error.text);
            table.problem(Problem::new(error.to_string(), span).hint(hint));
            None
        }
        None => None,
    };
    let file = table.string("file").map(PathBuf::from);
    let architecture = table.string("arch").map(str::to_owned);
    let variant = table.string("variant").map(str::to_owned);
    match (table.span_of("name"), table.span_of("file")) {
        (Some(_), Some(span)) => {
            table.problem(Problem::new("a base has a `name` or a `file`, not both", span));
            None
        }
        (None, None) => {
            let span = table.span();
            table.problem(Problem::new("a base needs a `name` or a `file`", span));
            None
        }
        (Some(_), None) => name.map(|name| Base::Published { name, architecture, variant }),
        (None, Some(_)) => {
            for key in ["arch", "variant"] {
                if let Some(span) = table.span_of(key) {
                    table.problem(Problem::new(format!("`{key}` goes with a `name`, not with a `file`"), span));
                }
            }
            file.map(Base::File)
        }
    }
}

fn input(value: &Value<'_>, text: &str, problems: &mut Vec<Problem>) -> Option<Input> {
    let mut table = Table::new(value, "an input", &INPUT_KEYS, problems)?;
    Some(Input { about: table.string("about").map(str::to_owned), file: template(&mut table, "file", text) })
}

fn keep(value: &Value<'_>, problems: &mut Vec<Problem>) -> Option<Keep> {
    let mut table = Table::new(value, "`keep`", &KEEP_KEYS, problems)?;
    Some(Keep { packages: table.strings("packages").into_iter().map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::ClusterSize;
    use crate::size::DiskSize;

    type Recipe = super::Recipe<()>;

    /// Each problem as `"what it is about": message (label; hint)`.
    fn problems(text: &str) -> Vec<String> {
        let problems = Recipe::parse(text).unwrap_err();
        problems
            .into_iter()
            .map(|problem| {
                let about = problem.span.map_or("", |span| &text[span]).lines().next().unwrap_or_default().to_owned();
                let extra: Vec<String> = [problem.label, problem.hint].into_iter().flatten().collect();
                format!("{about}: {}{}", problem.message, extra.iter().map(|e| format!(" ({e})")).collect::<String>())
            })
            .collect()
    }

    #[test]
    fn an_output_may_be_more_than_a_name() {
        let text =
            "output = { file = \"x.qcow2\", overlay = true, cluster-size = \"4K\", compression-type = \"zstd\" }";
        let recipe = Recipe::parse(text).unwrap();
        assert_eq!(recipe.output, Some("x.qcow2".into()));
        assert!(recipe.form.overlay);
        assert_eq!(recipe.form.cluster_size, Some(ClusterSize { bytes: 4096 }));
        assert_eq!(recipe.form.compression_type, Some(image::CompressionType::Zstd));
        assert_eq!(
            problems("[output]\nfile = \"x\"\nformat = \"vdi\"\noverlay = \"yes\"\ncompat = \"1.0\"\n"),
            [
                "\"vdi\": `vdi` is not a format that is written: raw, qcow2, vmdk, vhd or gce",
                "\"yes\": `overlay` should be a boolean (this is a string)",
                "\"1.0\": `1.0` is not a version of qcow2: 0.10 or 1.1",
            ]
        );
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        assert_eq!(
            problems("outptu = \"x\"\n[base]\nname = \"a:b\"\narchitecture = \"amd64\"\n[keep]\npackage = []\n"),
            [
                "outptu: unknown key `outptu` (a recipe has no such key) (did you mean `output`?)",
                "architecture: unknown key `architecture` (`base` has no such key) \
                 (expected one of `name`, `arch`, `variant`, `file`)",
                "package: unknown key `package` (`keep` has no such key) (did you mean `packages`?)",
            ]
        );
    }

    #[test]
    fn kinds_are_checked() {
        assert_eq!(
            problems("output = 1\ninputs = []\nstep = 3\n[keep]\npackages = [\"a\", 2]\n"),
            [
                "1: `output` should be a string (this is an integer)",
                "[]: `inputs` should be a table (this is an array)",
                "3: `step` should be an array of tables (this is an integer) (begin each one with `[[step]]`)",
                "2: `packages` should be strings (this is an integer)",
            ]
        );
        assert_eq!(problems("output = \"\"\n"), ["\"\": `output` is empty"]);
    }

    #[test]
    fn a_base_is_published_or_a_file() {
        assert!(problems("[base]\nname = \"a:b\"\nfile = \"x\"\n")[0].contains("not both"));
        assert!(problems("[base]\narch = \"amd64\"\n")[0].contains("a base needs a `name` or a `file`"));
        assert!(problems("[base]\nfile = \"x\"\narch = \"amd64\"\n")[0].contains("goes with a `name`"));
        for name in ["ubuntu", "ubuntu:", ":24.04", "ubuntu:24.04/", "ubuntu:24.04@"] {
            assert!(problems(&format!("[base]\nname = \"{name}\"\n"))[0].contains("`DISTRIBUTION:RELEASE`"), "{name}");
        }
        for name in ["ubuntu:24.04", "ubuntu:noble/minimal", "debian:12@20260316-2418", "a:b/c@sha256:00"] {
            let base = Recipe::parse(&format!("base.name = \"{name}\"")).unwrap().base;
            let Some(Base::Published { name: read, .. }) = base else { panic!("{base:?}") };
            assert_eq!(read.to_string(), name);
        }
        assert_eq!(Recipe::parse("[base]\nfile = \"x\"").unwrap().base, Some(Base::File(PathBuf::from("x"))));
    }

    #[test]
    fn a_size_is_one_of_a_disk() {
        assert_eq!(Recipe::parse("size = \"10G\"").unwrap().size, Some(DiskSize::To(10 << 30)));
        assert_eq!(
            problems("size = \"10 GB\""),
            ["\"10 GB\": `10 GB` is not a size: expected a number with K, M, G or T, such as `10G` or `+512M`"]
        );
    }

    #[test]
    fn an_input_declared_twice_is_refused() {
        assert_eq!(problems("[inputs.a]\n[inputs.b]\n[inputs.a]\n").len(), 1);
    }
}
