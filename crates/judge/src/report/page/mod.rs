//! A report as one self-contained page.

mod timeline;

use askama::Template;
use page::{Made, Markup};

use super::text::problems;
use crate::verdict::{Boot, Outcome, Report, Verdict};
use timeline::Timeline;

/// `templates/page.html`, which escapes every text that it is given.
#[derive(Template)]
#[template(path = "page.html")]
struct Body<'a> {
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
    let body = Body {
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
    let title = format!("{word}: {}", body.image);
    let body = page::markup(&body);
    page::Page { title: &title, body, command: "imgraft test", style: "", script: None }.render()
}

/// The timeline of a boot, as a part of a page.
pub fn timeline(boot: &Boot) -> Markup {
    #[derive(Template)]
    #[template(path = "timeline.html")]
    struct Drawn<'a> {
        boot: &'a Boot,
        timeline: Timeline,
    }
    page::markup(&Drawn { boot, timeline: Timeline::of(boot) })
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

    #[test]
    fn a_boot_that_was_printed_as_json_has_the_same_timeline() {
        let report = sample::report();
        let json = serde_json::to_string(&report).unwrap();
        let read: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert_eq!(read.boots[0].checks, report.boots[0].checks);
        let drawn = |boot| match timeline(boot) {
            Markup::Safe(drawn) => drawn,
            Markup::NeedsEscaping(text) => panic!("{text}"),
        };
        assert_eq!(drawn(&read.boots[0]), drawn(&report.boots[0]));
        // A boot of a thousand years would have as many ticks as years.
        for end_s in ["1e300", "-1", "31536000000"] {
            let long = json.replace("\"end_s\":92.5", &format!("\"end_s\":{end_s}"));
            assert_ne!(long, json);
            let error = serde_json::from_str::<Report>(&long).unwrap_err().to_string();
            assert!(error.contains("s are not a time within a boot"), "{error}");
        }
    }

    #[cfg(feature = "full-tests")]
    #[test]
    fn a_browser_draws_the_page_and_runs_nothing_of_it() {
        let browser = testkit::browser::Browser::new(1100);
        let report = sample::report();
        // It puts what it measured into the page's title, by a script of ours that the page's own policy would refuse.
        let probe = "addEventListener('load', () => {
            const box = e => e.getBoundingClientRect();
            const texts = [...document.querySelectorAll('svg.wide text')];
            const bars = [...document.querySelectorAll('svg.wide rect')];
            const clash = texts.filter(t => t.closest('svg') && (box(t).right > box(t.closest('svg')).right + 1
                || box(t).left < box(t.closest('svg')).left - 1)).length;
            const empty = bars.filter(b => box(b).width < 1 || box(b).height < 5).length;
            tell(JSON.stringify({owned: document.title, images: document.images.length,
                rows: document.querySelectorAll('table.checks tbody tr').length, bars: bars.length, clash, empty,
                wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
                wrong: getComputedStyle(document.querySelector('header .word')).backgroundColor,
                console: [...document.querySelectorAll('details pre')].pop().textContent}));
        })";
        let page = page(&report, &made());
        let title = browser.probe(&page, probe, &[]);
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
        let look = browser.look(&page, &[]);
        assert_eq!((look.console, look.requests), (Vec::<String>::new(), Vec::<String>::new()));
        let pictures = [("light", &[][..]), ("dark", &testkit::browser::DARK)]
            .map(|(name, arguments)| browser.picture(&format!("test-{name}"), &page, 1600, arguments));
        assert!(pictures.iter().all(|picture| picture.starts_with(b"\x89PNG") && picture.len() > 30_000));
        assert_ne!(pictures[0], pictures[1], "dark is not light");
    }
}
