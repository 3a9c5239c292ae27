//! A report as one self-contained page.

mod timeline;

use askama::Template;

use super::text::problems;
use crate::verdict::{Boot, Outcome, Report, Verdict};
use timeline::Timeline;

/// Which version made a page, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The program's version.
    pub version: String,
    /// The time, for people.
    pub date: String,
}

/// `templates/page.html`, which escapes every text that it is given.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    report: &'a Report,
    made: &'a Made,
    class: &'static str,
    word: &'static str,
    image: String,
    /// How many checks there are, how many found nothing wrong and how many did.
    all: usize,
    good: usize,
    failed: usize,
    problems: Vec<String>,
    boots: Vec<(&'a Boot, Timeline)>,
}

/// The page: the verdict, all problems, then for each boot its timeline, its checks, what went wrong, logs and the console.
///
/// It is self-contained: it has no script and loads no font or picture, and its policy would refuse them.
pub fn page(report: &Report, made: &Made) -> String {
    let checks = || report.boots.iter().flat_map(|boot| &boot.checks);
    let count = |is: fn(&Outcome) -> bool| checks().filter(|check| is(&check.outcome)).count();
    let (class, word) = match report.verdict {
        Verdict::Good => ("good", "ok"),
        Verdict::Wrong => ("wrong", "FAILED"),
        Verdict::NotLookedAt => ("unknown", "not known"),
    };
    let page = Page {
        report,
        made,
        class,
        word,
        image: report.image.display().to_string(),
        all: checks().count(),
        good: count(|outcome| *outcome == Outcome::Good),
        failed: count(|outcome| matches!(outcome, Outcome::Wrong { .. })),
        problems: report.boots.iter().flat_map(problems).collect(),
        boots: report.boots.iter().map(|boot| (boot, Timeline::of(boot))).collect(),
    };
    // Writing to a `String` cannot fail.
    page.render().unwrap_or_default()
}

impl Outcome {
    /// The class and the word of a row, and what was found.
    fn words(&self) -> (&'static str, &'static str, Option<&str>) {
        match self {
            Self::Good => ("good", "ok", None),
            Self::Wrong { problem } => ("wrong", "FAILED", Some(problem)),
            Self::NotLookedAt { reason } => ("unknown", "not known", Some(reason)),
        }
    }
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
            place("<li>after a restart, cloud-init: network: no progress for 300 s: the guest hangs</li>")
                < place("<svg")
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
        let text = "&#60;/pre&#62;&#60;script&#62;";
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
        // Ten stages, three modules that are not stages, two units, five checks; seven stages of the second boot.
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
