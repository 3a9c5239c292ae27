//! A report in JUnit's XML, which CI systems read.

use std::time::Duration;

use page::shown;
use quick_junit::{NonSuccessKind, Report as Suites, TestCase, TestCaseStatus, TestSuite};

use crate::verdict::{Boot, Check, Outcome, Report};

/// The report: a suite for each boot, with a case for the boot itself and one for each check.
pub fn junit(report: &Report) -> String {
    let mut suites = Suites::new(shown(&format!("imgraft test {}", report.image.display())));
    suites.set_time(seconds(report.took_s)).add_test_suites(report.boots.iter().map(suite));
    if !report.not_looked_at.is_empty() {
        let mut suite = TestSuite::new("not looked at");
        suite.set_time(Duration::ZERO);
        for reason in &report.not_looked_at {
            let what = reason.split(": ").next().unwrap_or_default();
            suite.add_test_case(case(&suite, what, Duration::ZERO, problem(NonSuccessKind::Error, reason, &[])));
        }
        suites.add_test_suite(suite);
    }
    // Writing to a `String` cannot fail.
    suites.to_string().unwrap_or_default()
}

fn suite(boot: &Boot) -> TestSuite {
    let mut suite = TestSuite::new(shown(&boot.name));
    let took_s = boot.end_s - boot.at_s;
    let up_s = boot.stages.last().map_or(took_s, |stage| stage.at.as_secs_f64() - boot.at_s);
    let status = boot.failure.as_ref().map_or_else(TestCaseStatus::success, |failure| {
        let text = format!("{}: {}", failure.stage, failure.problem);
        problem(NonSuccessKind::Failure, &text, &failure.lines)
    });
    suite.set_time(seconds(took_s)).set_system_out(shown(&boot.console));
    suite.add_test_case(case(&suite, "boots", seconds(up_s), status));
    for check in &boot.checks {
        suite.add_test_case(case(&suite, &check.name, check.took, status_of(check)));
    }
    suite
}

fn status_of(check: &Check) -> TestCaseStatus {
    match &check.outcome {
        Outcome::Good => TestCaseStatus::success(),
        Outcome::Wrong { problem: text } => problem(NonSuccessKind::Failure, text, &check.lines),
        Outcome::NotLookedAt { reason } => problem(NonSuccessKind::Error, reason, &check.lines),
    }
}

/// What kind of problem it is, what was found, and the lines that show it.
fn problem(kind: NonSuccessKind, text: &str, lines: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(shown(text)).set_description(shown(&lines.join("\n")));
    status.set_type(if kind == NonSuccessKind::Error { "error" } else { "failure" });
    status
}

fn case(suite: &TestSuite, name: &str, took: Duration, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(shown(name), status);
    case.set_classname(suite.name.clone()).set_time(took);
    case
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
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
        assert!(
            lines.contains(&"boots|cloud-init: network: no progress for 300 s: the guest hangs"),
            "{}",
            read.stdout
        );
        assert!(lines.contains(&format!("service `{}` is active|it is inactive", sample::EVIL).as_str()));
        testkit::judge::judge("xmllint").arg("--noout").arg(file.path()).succeed();
    }
}
