//! The page in Chromium, and what axe-core says of it.

use guest::diff::PathChange;
use testkit::browser::{Browser, DARK};

use super::page;
use super::sample::{added, made, sample};

/// What is measured in a page.
const MEASURE: &str = "addEventListener('load', () => {
    const box = element => element.getBoundingClientRect();
    const out = [...document.querySelectorAll('.drawing text')].filter(text => box(text).width > 0
        && (box(text).right > box(text.closest('svg')).right + 1 || box(text).left < box(text.closest('svg')).left - 1));
    const wide = [...document.querySelectorAll('main *, header *, nav *')].filter(element =>
        box(element).right > document.documentElement.clientWidth + 1 && !element.closest('.scroll, pre, .spoken, svg'));
    tell(JSON.stringify({width: document.documentElement.clientWidth,
        scrolls: document.documentElement.scrollWidth > document.documentElement.clientWidth,
        out: out.map(text => text.textContent), wide: wide.map(element => element.outerHTML.slice(0, 80)),
        images: document.images.length, scripts: document.scripts.length, title: document.title,
        searches: !document.getElementById('search').hidden}));
})";

fn measured(page: &str, width: u32) -> serde_json::Value {
    let title = Browser::new(width).probe(page, MEASURE, &[]);
    serde_json::from_str(&title).unwrap_or_else(|error| panic!("{error}: {title}"))
}

#[test]
fn the_page_asks_for_nothing_and_its_names_do_nothing() {
    let sample = sample([]);
    let page = page(&sample.report(), &made());
    let browser = Browser::new(1100);
    let look = browser.look(&page, &[]);
    assert_eq!((look.console, look.requests), (Vec::<String>::new(), Vec::<String>::new()));
    assert!(!look.dom.contains("<title>owned"), "{}", look.dom);
    let measured = measured(&page, 1100);
    assert!(measured["title"].as_str().unwrap().ends_with(".img: what changed"), "{measured}");
    // The page's own script, and the one that measures.
    assert_eq!((&measured["images"], &measured["scripts"]), (&0.into(), &2.into()), "{measured}");
    assert_eq!(measured["searches"], true, "{measured}");

    // What is looked for would be found: a page that loads something and fails.
    let bad = page.replacen("<h1>", "<script>throw 1</script><img src=\"https://example.org/x.png\"><h1>", 1);
    let look = browser.look(&bad, &[]);
    assert!(look.console.len() >= 2, "{:?}", look.console);
    let open = bad.replacen("default-src &#39;none&#39;", "img-src *", 1);
    let look = browser.look(&open, &[]);
    assert!(look.requests.iter().any(|request| request == "https://example.org/x.png"), "{:?}", look.requests);
}

#[test]
fn it_is_accessible_in_both_schemes_and_at_each_width() {
    let sample = sample([]);
    let page = page(&sample.report(), &made());
    for (width, arguments) in [(1100, &[][..]), (1100, &DARK[..]), (320, &[][..]), (320, &DARK[..])] {
        let found = Browser::new(width).axe(&page, arguments);
        let found: serde_json::Value = serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}"));
        assert!(found["passes"].as_u64().unwrap() > 20, "{found}");
        assert_eq!(found["violations"], serde_json::json!([]), "{width} {arguments:?}: {found:#}");
    }
    // It would find something.
    let bad = page.replacen("<html lang=\"en\">", "<html>", 1);
    assert!(Browser::new(1100).axe(&bad, &[]).contains("html-has-lang"));
}

#[test]
fn nothing_is_cut_off_at_any_width() {
    let long = format!("/usr/share/{}", "a-name-without-a-blank-".repeat(12));
    let sample = sample([added(&long, 1 << 40)]);
    let page = page(&sample.report(), &made());
    for width in [320, 500, 800, 1100] {
        let measured = measured(&page, width);
        assert_eq!(measured["width"], width, "{measured}");
        assert_eq!(
            (&measured["scrolls"], &measured["out"], &measured["wide"]),
            (&false.into(), &serde_json::json!([]), &serde_json::json!([])),
            "{measured}"
        );
    }
}

#[test]
fn ten_thousand_paths_load_and_are_searched() {
    let more = (0..10_000).map(|at| added(&format!("/opt/tree-{}/File-{at}", at % 7), at));
    let sample = sample(more.collect::<Vec<PathChange>>());
    let page = page(&sample.report(), &made());
    let probe = "addEventListener('load', () => {
        const field = document.getElementById('words'), count = document.getElementById('count');
        const rows = [...document.querySelectorAll('#paths tbody tr')];
        const seen = () => rows.filter(row => row.getBoundingClientRect().height > 0).length;
        const type = text => new Promise(resolve => {
            field.value = text;
            field.dispatchEvent(new Event('input'));
            setTimeout(() => resolve([text, seen(), count.textContent]), 500);
        });
        const key = (target, key) => target.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
        (async () => {
            const found = [['', seen(), count.textContent]];
            for (const text of ['tree-3', 'FILE-77 tree-0', 'no such path', 'removed', '']) found.push(await type(text));
            await type('tree-3');
            key(document.body, '/');
            const focused = document.activeElement === field;
            key(field, 'Escape');
            tell(JSON.stringify({found, focused, cleared: [field.value, seen()]}));
        })();
    })";
    let title = Browser::new(1100).probe(&page, probe, &[]);
    let found: serde_json::Value = serde_json::from_str(&title).unwrap_or_else(|error| panic!("{error}: {title}"));
    // 27 paths of the sample; numbers from 3 on in steps of 7; of those with 77 at their begin the ones in tree-0.
    let sevens = (0..10_000).filter(|at| at % 7 == 0 && at.to_string().starts_with("77")).count();
    let expected = serde_json::json!([
        ["", 10_027, "10,027 paths"],
        ["tree-3", 1429, "1,429 of 10,027 paths"],
        ["FILE-77 tree-0", sevens, format!("{sevens} of 10,027 paths")],
        ["no such path", 0, "0 of 10,027 paths"],
        ["removed", 1, "1 of 10,027 paths"],
        ["", 10_027, "10,027 paths"],
    ]);
    assert_eq!(found["found"], expected);
    assert_eq!((&found["focused"], &found["cleared"]), (&true.into(), &serde_json::json!(["", 10_027])));
}

#[test]
fn it_is_drawn_light_dark_and_small() {
    let sample = sample([]);
    let page = page(&sample.report(), &made());
    let mut pictures = Vec::new();
    for (name, width, height, arguments) in
        [("light", 1100, 3000, &[][..]), ("dark", 1100, 3000, &DARK[..]), ("small", 320, 5200, &[][..])]
    {
        let picture = Browser::new(width).picture(&format!("report-{name}"), &page, height, arguments);
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 30_000, "{name}: {} bytes", picture.len());
        pictures.push(picture);
    }
    assert_ne!(pictures[0], pictures[1], "dark is not light");
}
