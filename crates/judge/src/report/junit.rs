//! A report in the XML that CI systems take from JUnit.

use std::fmt::Write;

use super::escaped;
use crate::verdict::{Boot, Outcome, Report};

/// The report: a suite for each boot, with a case for the boot itself and one for each check.
pub fn junit(report: &Report) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let counts = report.boots.iter().map(Counts::of).fold(Counts::default(), Counts::plus);
    let counts = Counts {
        tests: counts.tests + report.not_looked_at.len(),
        errors: counts.errors + report.not_looked_at.len(),
        ..counts
    };
    let name = format!("imgraft test {}", report.image.display());
    let _ = writeln!(xml, "<testsuites name=\"{}\" {counts} time=\"{:.3}\">", escaped(&name), report.took_s);
    for boot in &report.boots {
        push_suite(&mut xml, boot);
    }
    if !report.not_looked_at.is_empty() {
        let count = report.not_looked_at.len();
        let counts = Counts { tests: count, failures: 0, errors: count };
        let _ = writeln!(xml, "  <testsuite name=\"not looked at\" {counts} time=\"0.000\">");
        for reason in &report.not_looked_at {
            let what = reason.split(": ").next().unwrap_or_default();
            push_case(&mut xml, "not looked at", what, 0.0, Some(("error", reason, &[])));
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

#[derive(Clone, Copy, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
}

impl Counts {
    fn of(boot: &Boot) -> Self {
        let count = |is: fn(&Outcome) -> bool| boot.checks.iter().filter(|check| is(&check.outcome)).count();
        Self {
            tests: boot.checks.len() + 1,
            failures: count(|outcome| matches!(outcome, Outcome::Wrong { .. })) + usize::from(boot.failure.is_some()),
            errors: count(|outcome| matches!(outcome, Outcome::NotLookedAt { .. })),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            tests: self.tests + other.tests,
            failures: self.failures + other.failures,
            errors: self.errors + other.errors,
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tests=\"{}\" failures=\"{}\" errors=\"{}\"", self.tests, self.failures, self.errors)
    }
}

fn push_suite(xml: &mut String, boot: &Boot) {
    let name = escaped(&boot.name);
    let took_s = boot.end_s - boot.at_s;
    let _ = writeln!(xml, "  <testsuite name=\"{name}\" {} time=\"{took_s:.3}\">", Counts::of(boot));
    let up_s = boot.stages.last().map_or(took_s, |stage| stage.at.as_secs_f64() - boot.at_s);
    let failure =
        boot.failure.as_ref().map(|failure| (format!("{}: {}", failure.stage, failure.problem), &failure.lines));
    let problem = failure.as_ref().map(|(problem, lines)| ("failure", problem.as_str(), &lines[..]));
    push_case(xml, &boot.name, "boots", up_s.max(0.0), problem);
    for check in &boot.checks {
        let problem = match &check.outcome {
            Outcome::Good => None,
            Outcome::Wrong { problem } => Some(("failure", problem.as_str(), &check.lines[..])),
            Outcome::NotLookedAt { reason } => Some(("error", reason.as_str(), &check.lines[..])),
        };
        push_case(xml, &boot.name, &check.name, check.took.as_secs_f64(), problem);
    }
    let _ = writeln!(xml, "    <system-out>{}</system-out>", escaped(&boot.console));
    xml.push_str("  </testsuite>\n");
}

/// A case with its problem: what kind, what it is, and the lines that tell it.
fn push_case(xml: &mut String, class: &str, name: &str, took_s: f64, problem: Option<(&str, &str, &[String])>) {
    let (class, name) = (escaped(class), escaped(name));
    let _ = write!(xml, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{took_s:.3}\"");
    match problem {
        None => xml.push_str("/>\n"),
        Some((kind, problem, lines)) => {
            let _ = writeln!(
                xml,
                ">\n      <{kind} message=\"{}\" type=\"{kind}\">{}</{kind}>\n    </testcase>",
                escaped(problem),
                escaped(&lines.join("\n"))
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::sample;
    use super::*;

    /// Reads the XML with Python's parser and holds it to what CI systems expect: counts that are right, cases with
    /// names, at most one problem each.
    const READER: &str = r#"
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == "testsuites", root.tag
def counted(element, name):
    return len(list(element.iter(name)))
def numbers(element):
    return [int(element.get(name)) for name in ("tests", "failures", "errors")]
totals = [0, 0, 0]
for suite in root:
    assert suite.tag == "testsuite" and suite.get("name") and float(suite.get("time")) >= 0
    found = [counted(suite, name) for name in ("testcase", "failure", "error")]
    assert found == numbers(suite), (found, numbers(suite))
    totals = [a + b for a, b in zip(totals, found)]
    for case in suite.iter("testcase"):
        assert case.get("name") and case.get("classname") and float(case.get("time")) >= 0
        assert len(case) <= 1 and all(child.get("message") for child in case)
assert totals == numbers(root), (totals, numbers(root))
print(*totals)
print(*["%s|%s" % (case.get("name"), child.get("message")) for case in root.iter("testcase") for child in case], sep="\n")
"#;

    #[test]
    fn pythons_parser_and_xmllint_read_it() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let xml = junit(&sample::report());
        file.write_all(xml.as_bytes()).unwrap();
        let read = testkit::judge::judge("python3").args(["-c", READER]).arg(file.path()).succeed();
        let lines: Vec<&str> = read.stdout.lines().collect();
        assert_eq!(lines[0], "8 3 2", "{}", read.stdout);
        assert!(lines.contains(&"boots|cloud-init: network: nothing went on for 300 s: a hang"), "{}", read.stdout);
        assert!(lines.contains(&format!("service `{}` is active|it is inactive", sample::EVIL).as_str()));
        testkit::judge::judge("xmllint").arg("--noout").arg(file.path()).succeed();
    }
}
