//! A report as one page that needs nothing besides itself.

mod timeline;

use std::fmt::Write;

use super::text::problems;
use super::{escaped, marked};
use crate::stage::Stage;
use crate::verdict::{Boot, Check, Outcome, Report, Verdict};

const STYLE: &str = include_str!("style.css");

/// By what a page was made, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The program's version.
    pub version: String,
    /// The time, for people.
    pub date: String,
}

/// The page: the word, all that is wrong, then boot by boot its timeline, its checks, what went wrong, logs and the console.
///
/// It is self-contained: no script, no font, no picture from elsewhere, and a policy that would refuse them.
pub fn page(report: &Report, made: &Made) -> String {
    let image = escaped(&report.image.display().to_string());
    let (class, word) = match report.verdict {
        Verdict::Good => ("good", "ok"),
        Verdict::Wrong => ("wrong", "FAILED"),
        Verdict::NotLookedAt => ("unknown", "not known"),
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{word}: {image}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<p class=\"word {class}\">{word}</p>\n<h1>{image}</h1>\n"
    );
    let checks: Vec<&Check> = report.boots.iter().flat_map(|boot| &boot.checks).collect();
    let count = |is: fn(&Outcome) -> bool| checks.iter().filter(|check| is(&check.outcome)).count();
    let _ = writeln!(
        page,
        "<p class=\"facts\"><span>{} of {} checks are ok</span> <span>{:.1} s</span> <span>{}</span> \
         <span>imgraft {}</span> <span>{}</span></p>",
        count(|outcome| *outcome == Outcome::Good),
        checks.len(),
        report.took_s,
        escaped(&report.accelerator),
        escaped(&made.version),
        escaped(&made.date)
    );
    page.push_str("</header>\n<main>\n");
    let problems: Vec<String> = report.boots.iter().flat_map(problems).collect();
    if !problems.is_empty() {
        let failed = count(|outcome| matches!(outcome, Outcome::Wrong { .. }));
        let _ = writeln!(page, "<div class=\"banner wrong\">\n<p>{failed} of {} checks failed</p>\n<ul>", checks.len());
        for problem in &problems {
            let _ = writeln!(page, "<li>{}</li>", marked(problem));
        }
        page.push_str("</ul>\n</div>\n");
    }
    for reason in &report.not_looked_at {
        let _ = writeln!(page, "<p class=\"banner unknown\">Not looked at: {}</p>", marked(reason));
    }
    for boot in &report.boots {
        push_boot(&mut page, boot);
    }
    page.push_str("</main>\n<footer>made by imgraft test</footer>\n</body>\n</html>\n");
    page
}

fn push_boot(page: &mut String, boot: &Boot) {
    let finished = boot.stages.iter().find(|stage| stage.stage == Stage::Finished);
    let up = finished.filter(|_| boot.failure.is_none()).map(|stage| stage.at.as_secs_f64() - boot.at_s);
    let up = up.map(|up_s| format!(" <small>up in {up_s:.1} s</small>")).unwrap_or_default();
    let _ = writeln!(page, "<section>\n<h2>{}{up}</h2>", escaped(&boot.name));
    if let Some(failure) = &boot.failure {
        let _ = writeln!(
            page,
            "<div class=\"banner wrong\"><p>It failed in stage <strong>{}</strong>: {}</p>",
            failure.stage,
            marked(&failure.problem)
        );
        push_lines(page, &failure.lines);
        page.push_str("</div>\n");
    }
    page.push_str(&timeline::svg(boot));
    push_checks(page, boot);
    push_troubles(page, boot);
    for log in &boot.logs {
        push_details(page, &log.path, None, &log.lines.join("\n"));
    }
    let lines = boot.console.lines().count();
    push_details(page, "console", Some(&format!("{lines} lines")), &boot.console);
    page.push_str("</section>\n");
}

fn push_checks(page: &mut String, boot: &Boot) {
    if boot.checks.is_empty() {
        return;
    }
    page.push_str(
        "<table class=\"checks\">\n<thead><tr><th>result</th><th>expected</th><th>took</th></tr></thead>\n<tbody>\n",
    );
    for check in boot.checks_worst_first() {
        let (class, word, problem) = match &check.outcome {
            Outcome::Good => ("good", "ok", ""),
            Outcome::Wrong { problem } => ("wrong", "FAILED", problem.as_str()),
            Outcome::NotLookedAt { reason } => ("unknown", "not known", reason.as_str()),
        };
        let _ = write!(
            page,
            "<tr class=\"{class}\"><td><span class=\"word {class}\">{word}</span></td><td>{}",
            marked(&check.name)
        );
        if !problem.is_empty() {
            let stage = check.stage.map(|stage| format!(" <small>({stage})</small>")).unwrap_or_default();
            let _ = write!(page, "<div class=\"problem\">{}{stage}</div>", marked(problem));
        }
        match (&check.outcome, check.lines.is_empty()) {
            (_, true) => {}
            (Outcome::Good, false) => {
                page.push_str("<details><summary>what it said</summary>");
                push_lines(page, &check.lines);
                page.push_str("</details>");
            }
            _ => push_lines(page, &check.lines),
        }
        let _ = writeln!(page, "</td><td class=\"number\">{:.1} s</td></tr>", check.took.as_secs_f64());
    }
    page.push_str("</tbody>\n</table>\n");
}

fn push_troubles(page: &mut String, boot: &Boot) {
    if boot.troubles.is_empty() {
        return;
    }
    page.push_str("<h3>What the console complained of</h3>\n<table class=\"troubles\">\n<tbody>\n");
    for trouble in &boot.troubles {
        let at_s = trouble.at.as_secs_f64() - boot.at_s;
        let line = escaped(&trouble.line);
        let _ = writeln!(
            page,
            "<tr><td class=\"number\">{at_s:.1} s</td><td>{}</td><td><code>{line}</code></td></tr>",
            trouble.stage
        );
    }
    page.push_str("</tbody>\n</table>\n");
}

fn push_lines(page: &mut String, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(page, "<pre tabindex=\"0\">{}</pre>", escaped(&lines.join("\n")));
    }
}

fn push_details(page: &mut String, name: &str, more: Option<&str>, text: &str) {
    let more = more.map(|more| format!(" <small>{}</small>", escaped(more))).unwrap_or_default();
    let _ = writeln!(
        page,
        "<details><summary>{}{more}</summary>\n<pre tabindex=\"0\">{}</pre>\n</details>",
        escaped(name),
        escaped(text.trim_end())
    );
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn made() -> Made {
        Made { version: "1.2.3".to_owned(), date: "2026-11-28 20:15 UTC".to_owned() }
    }

    #[test]
    fn what_failed_comes_first_and_nothing_is_left_in_backticks() {
        let page = page(&sample::report(), &made());
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
        assert!(place("2 of 5 checks failed") < place("<section>"));
        assert!(
            place("<li>after a restart, cloud-init: network: nothing went on for 300 s: a hang</li>") < place("<svg")
        );
        let table = &page[place("<table class=\"checks\">")..];
        assert!(table.find(">FAILED<").unwrap() < table.find(">ok<").unwrap());
        assert!(!page.contains('`') && page.contains("<code>app --version</code> succeeds"));
        assert!(page.contains("<span>imgraft 1.2.3</span> <span>2026-11-28 20:15 UTC</span>"));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_says_nothing_as_markup() {
        let page = page(&sample::report(), &made());
        for part in ["http:", "https:", "url(", "@import", "<script", "<img", "onerror=\"", "<link", "src=x onerror=\""]
        {
            assert!(!page.contains(part), "{part}");
        }
        let text = "&lt;/pre&gt;&lt;script&gt;";
        // The image's name twice, a trouble, two lines of checks, a service's name in a row and in the drawing, a module, …
        assert!(page.matches(text).count() >= 9, "{}", page.matches(text).count());
        // Two boots, each drawn for wide and for narrow screens.
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(page.contains("@media (prefers-color-scheme: dark)"));
    }

    /// Chromium's own view of a page, in its own words.
    #[cfg(feature = "full-tests")]
    fn chromium(folder: &std::path::Path, page: &str, arguments: &[&str]) -> testkit::judge::Verdict {
        let path = folder.join("page.html");
        std::fs::write(&path, page).unwrap();
        let data = format!("--user-data-dir={}", folder.join("chromium").display());
        let mut judge = testkit::judge::judge("chromium").args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--window-size=1100,1600",
        ]);
        judge = judge.arg(data).args(arguments.iter().copied());
        judge.arg(format!("file://{}", path.display())).succeed()
    }

    #[cfg(feature = "full-tests")]
    #[test]
    fn a_browser_draws_the_page_and_runs_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let report = sample::report();
        // It puts what it measured into the page's title, by a script of ours that the page's own policy would refuse.
        let probe = "<script>addEventListener('load', () => {
            const box = e => e.getBoundingClientRect();
            const texts = [...document.querySelectorAll('svg.wide text')];
            const bars = [...document.querySelectorAll('svg.wide rect')];
            const clash = texts.filter(t => t.closest('svg') && (box(t).right > box(t.closest('svg')).right + 1
                || box(t).left < box(t.closest('svg')).left - 1)).length;
            const empty = bars.filter(b => box(b).width < 1 || box(b).height < 5).length;
            document.title = JSON.stringify({owned: document.title, images: document.images.length,
                rows: document.querySelectorAll('table.checks tbody tr').length, bars: bars.length, clash, empty,
                wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
                wrong: getComputedStyle(document.querySelector('header .word')).backgroundColor,
                console: [...document.querySelectorAll('details pre')].pop().textContent});
        })</script>";
        let page = page(&report, &made());
        let probed = page.replace("default-src 'none'; ", "").replace("</head>", &format!("{probe}</head>"));
        let dom = chromium(folder.path(), &probed, &["--dump-dom"]).stdout;
        let title = dom.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
        let title = title.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
        let measured: serde_json::Value =
            serde_json::from_str(&title).unwrap_or_else(|error| panic!("{error}: {title}"));
        assert!(measured["owned"].as_str().unwrap().starts_with("FAILED: my & </pre><script>"), "{measured}");
        assert_eq!(measured["images"], 0, "{measured}");
        assert_eq!(measured["rows"], 5, "{measured}");
        // Ten stages, three modules that are no stage, two units, five checks; seven stages of the second boot.
        assert_eq!(measured["bars"], 27, "{measured}");
        assert_eq!(
            (&measured["clash"], &measured["empty"], &measured["wide"]),
            (&0.into(), &0.into(), &false.into()),
            "{measured}"
        );
        assert_eq!(measured["wrong"], "rgb(251, 230, 228)", "{measured}");

        // As it is, with its policy: a picture that is not blank, light and dark.
        let mut pictures = Vec::new();
        for (name, arguments) in
            [("light.png", &[][..]), ("dark.png", &["--force-dark-mode", "--blink-settings=preferredColorScheme=0"])]
        {
            let picture = folder.path().join(name);
            let screenshot = format!("--screenshot={}", picture.display());
            chromium(folder.path(), &page, &[arguments, &[screenshot.as_str()][..]].concat());
            pictures.push(std::fs::read(picture).unwrap());
        }
        assert!(pictures.iter().all(|picture| picture.starts_with(b"\x89PNG") && picture.len() > 30_000));
        assert_ne!(pictures[0], pictures[1], "dark is not light");
    }
}
