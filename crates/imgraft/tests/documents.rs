//! The documents for users: each link leads somewhere, each key of a recipe is explained, each message that is told of is
//! said, and pictures are what a browser can show without a network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use testkit::judge::judge;

/// The folder of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The documents, by their paths from the folder of the project: those in it, and the chapters of the book.
pub(crate) fn all() -> Vec<String> {
    let mut found: Vec<String> = files(&root(), false, "md");
    found.extend(files(&root().join("docs"), true, "md"));
    found.sort();
    found
}

/// The files in `folder` whose names end so, by their paths from the folder of the project.
fn files(folder: &Path, recursive: bool, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if recursive {
                found.extend(files(&path, true, end));
            }
        } else if path.extension().is_some_and(|found| found == end) {
            found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// A fenced block: its language, the line before it, and what is in it.
struct Fence<'a> {
    language: &'a str,
    before: &'a str,
    lines: Vec<&'a str>,
}

/// A document's lines outside of fenced blocks, with their numbers, and its fenced blocks.
fn prose_and_fences(text: &str) -> (Vec<(usize, &str)>, Vec<Fence<'_>>) {
    let (mut prose, mut fences) = (Vec::new(), Vec::<Fence<'_>>::new());
    let (mut is_inside, mut before) = (false, "");
    for (index, line) in text.lines().enumerate() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(language) => {
                is_inside = true;
                fences.push(Fence { language, before, lines: Vec::new() });
            }
            None if is_inside => fences.last_mut().unwrap().lines.push(line),
            None => prose.push((index + 1, line)),
        }
        before = line;
    }
    (prose, fences)
}

/// A line without what is in backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The targets of a document's links and pictures, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose_and_fences(text).0 {
        let line = without_code(line);
        assert!(!line.contains("]: "), "line {number}: a link that is written elsewhere is not looked at: {line}");
        for rest in line.split("](").skip(1) {
            found.push((number, rest.split(')').next().unwrap().to_owned()));
        }
    }
    found
}

/// The anchors of a document's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in prose_and_fences(text).0 {
        let Some(heading) = line.starts_with('#').then(|| line.trim_start_matches('#').trim()) else { continue };
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase();
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !found.contains(anchor));
        found.insert(free.unwrap());
    }
    found
}

/// `folder/path` without `..`.
fn resolved(folder: &Path, path: &str) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::ParentDir => assert!(resolved.pop(), "{path} leaves the project"),
            part => resolved.push(part),
        }
    }
    resolved
}

/// What is wrong with a link of a document, if anything is.
fn problem(document: &str, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let folder = Path::new(document).parent().unwrap();
    let file = match path {
        _ if path.starts_with("https://") => return None,
        "" => PathBuf::from(document),
        _ => resolved(folder, path),
    };
    let Ok(metadata) = fs::metadata(root().join(&file)) else { return Some("there is no such file".to_owned()) };
    match anchor {
        Some(anchor) if !metadata.is_file() || !anchors(&read(file.to_str().unwrap())).contains(anchor) => {
            Some("there is no such heading".to_owned())
        }
        _ => None,
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut documents = all();
    documents.extend(["fuzz", "crates"].into_iter().flat_map(|folder| files(&root().join(folder), true, "md")));
    let (mut count, mut problems) = (0, Vec::new());
    for document in documents {
        for (line, target) in links(&read(&document)) {
            count += 1;
            problems.extend(problem(&document, &target).map(|why| format!("{document}:{line}: {target}: {why}")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count >= 100, "{count}");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    assert_eq!(links("a [`b`](c.md#d) e\n```\n[no](link)\n```\n`[no](link)`\n"), [(1, "c.md#d".to_owned())]);
    let text = "# A `b`, c_d!\n## In place\n```\n# no heading\n```\n## In place\n";
    assert_eq!(anchors(text).into_iter().collect::<Vec<_>>(), ["a-b-c_d", "in-place", "in-place-1"]);
    let is_fine = |document: &str, target: &str| problem(document, target).is_none();
    assert!(is_fine("README.md", "docs/verbs.md#all-of-them"));
    assert!(is_fine("docs/compat/virt-customize.md", "../verbs.md#verb-by-verb"));
    assert!(is_fine("docs/verbs.md", "#all-of-them"));
    assert!(is_fine("docs/verbs.md", "../CONTRIBUTING.md#set-up"));
    assert!(!is_fine("README.md", "docs/verbs.md#none-of-them"));
    assert!(!is_fine("README.md", "docs/nouns.md"));
    assert!(!is_fine("docs/verbs.md", "../NOTHING.md"));
    assert!(!is_fine("docs/verbs.md", "verbs"));
}

#[test]
fn every_chapter_is_in_the_summary() {
    let summary: BTreeSet<String> =
        links(&read("docs/SUMMARY.md")).into_iter().map(|(_, target)| format!("docs/{target}")).collect();
    let chapters = all().into_iter().filter(|path| path.starts_with("docs/") && path != "docs/SUMMARY.md");
    assert_eq!(chapters.collect::<BTreeSet<_>>(), summary);
}

/// The keys in the first column of the tables of `docs/recipes.md`, by the table of a recipe that the heading names.
fn documented_keys() -> BTreeMap<String, BTreeSet<String>> {
    let text = read("docs/recipes.md");
    let (mut table, mut keys) = (String::new(), BTreeMap::<String, BTreeSet<String>>::new());
    for (_, line) in prose_and_fences(&text).0 {
        if line.starts_with('#') {
            table = line.split('`').nth(1).unwrap_or_default().replace(['[', ']'], "");
        } else if let Some(row) = line.strip_prefix("| `") {
            let cell = row.split('|').next().unwrap();
            let found = keys.entry(table.clone()).or_default();
            format!("`{cell}").split('`').skip(1).step_by(2).for_each(|key| {
                assert!(found.insert(key.to_owned()), "`{key}` of `{table}` has two rows");
            });
        }
    }
    keys
}

#[test]
fn every_key_of_a_recipe_has_a_row_and_no_other_has() {
    let owned = |keys: &[&str]| -> BTreeSet<String> { keys.iter().map(|&key| key.to_owned()).collect() };
    let mut known: BTreeMap<String, BTreeSet<String>> =
        ::recipe::KEYS.iter().map(|&(table, keys)| (table.to_owned(), owned(keys))).collect();
    // The verbs themselves are rows of verbs.md, which another test holds.
    let of_steps = ::customize::verbs().flat_map(|verb| verb.step.keys.iter().map(|&key| key.to_owned()));
    known.insert("step".to_owned(), of_steps.collect());
    assert_eq!(documented_keys(), known);
}

#[test]
fn every_recipe_that_is_shown_can_be_read() {
    let mut count = 0;
    for document in all() {
        for Fence { language, before, lines } in prose_and_fences(&read(&document)).1 {
            if language != "toml" || before.starts_with("<!-- no recipe: ") {
                continue;
            }
            count += 1;
            let text = lines.join("\n");
            let is_wrong_on_purpose = before.starts_with("<!-- file: wrong");
            match ::recipe::Recipe::<::customize::Step>::parse(&text) {
                Ok(_) => assert!(!is_wrong_on_purpose, "{document}: nothing is wrong with this:\n{text}"),
                Err(problems) => assert!(is_wrong_on_purpose, "{document}: {problems:?}\n{text}"),
            }
        }
    }
    assert!(count >= 6, "{count}");
}

/// A message of the source: what is in it as it is, between what varies.
type Message = Vec<String>;

/// The messages that a source text can say: its literals, with a gap for each `{…}`.
fn messages(source: &str) -> Vec<Message> {
    let source = source.split("\n#[cfg(test)]\nmod ").next().unwrap();
    let characters: Vec<char> = source.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    let next_is = |at: usize, text: &str| text.chars().enumerate().all(|(i, c)| characters.get(at + i) == Some(&c));
    while at < characters.len() {
        if next_is(at, "//") {
            at += characters[at..].iter().position(|&c| c == '\n').unwrap_or(characters.len() - at);
        } else if next_is(at, "'\\") {
            at += 4;
        } else if characters[at] == '\'' && characters.get(at + 2) == Some(&'\'') {
            at += 3;
        } else if characters[at] == '"' {
            let (text, end) = literal(&characters, at + 1);
            found.push(pieces(&text));
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

/// The text of the literal whose content begins at `at`, and where the text after it begins.
fn literal(characters: &[char], mut at: usize) -> (String, usize) {
    let mut text = String::new();
    while at < characters.len() && characters[at] != '"' {
        if characters[at] == '\\' {
            at += 1;
            match characters.get(at) {
                // A literal that goes on in the next line.
                Some('\n') => {
                    while characters.get(at + 1).is_some_and(|c| c.is_whitespace()) {
                        at += 1;
                    }
                }
                Some('n') => text.push('\n'),
                Some(&other) => text.push(other),
                None => {}
            }
        } else {
            text.push(characters[at]);
        }
        at += 1;
    }
    (text, at + 1)
}

/// What is between the `{…}` of a text for `format!`.
fn pieces(text: &str) -> Message {
    let mut pieces = vec![String::new()];
    let (mut depth, mut characters) = (0_usize, text.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '{' | '}' if depth == 0 && characters.next_if_eq(&character).is_some() => {
                pieces.last_mut().unwrap().push(character);
            }
            '{' => {
                depth += 1;
                if depth == 1 {
                    pieces.push(String::new());
                }
            }
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => pieces.last_mut().unwrap().push(character),
            _ => {}
        }
    }
    pieces
}

/// Whether `said` can be this message, of which enough is given to know it by.
fn is_said(message: &Message, said: &str) -> bool {
    let given: usize = message.iter().map(|piece| piece.trim().len()).sum();
    let Some((first, rest)) = message.split_first() else { return false };
    let Some(mut left) = said.strip_prefix(first.as_str()).filter(|_| given >= 12) else { return false };
    let Some((last, between)) = rest.split_last() else { return left.is_empty() };
    for piece in between {
        let Some(at) = left.find(piece.as_str()) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last.as_str())
}

/// The message in a line of what the program says, if it is one.
fn message_of(line: &str) -> Option<&str> {
    ["error: ", "warning: ", "cause: ", "hint: ", "= hint: "]
        .iter()
        .find_map(|kind| line.trim_start().strip_prefix(kind))
}

#[test]
fn every_message_that_is_explained_is_said() {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path().join("src"));
    let sources = crates.filter(|folder| folder.is_dir()).flat_map(|folder| files(&folder, true, "rs"));
    let said: Vec<Message> = sources.flat_map(|path| messages(&read(&path))).collect();
    let text = read("docs/troubleshooting.md");
    let mut count = 0;
    for line in prose_and_fences(&text).1.iter().flat_map(|fence| &fence.lines) {
        let Some(message) = message_of(line) else { continue };
        count += 1;
        // Some messages are a name, and what is said of it elsewhere.
        let of_a_name = message.strip_prefix('`').and_then(|rest| rest.split_once("` ")).map(|(_, rest)| rest);
        let is_known = |text: &str| said.iter().any(|known| is_said(known, text));
        assert!(is_known(message) || of_a_name.is_some_and(is_known), "no source says: {message}");
    }
    assert!(count >= 80, "{count}");
    for entry in text.split("\n### ").skip(1) {
        let fences = prose_and_fences(entry).1;
        let has_message = fences.iter().flat_map(|fence| &fence.lines).any(|line| message_of(line).is_some());
        assert!(has_message, "an entry without a message: {}", entry.lines().next().unwrap());
    }
}

#[test]
fn a_message_is_known_by_its_words() {
    let source =
        "let c = '\"'; f(\"`{}` is in use by {name:?}, \\\n   not {{free}}\"); // \"a comment that says much\"\n";
    let known = &messages(source)[0];
    assert_eq!(messages(source).len(), 1);
    assert!(is_said(known, "`my.img` is in use by \"qemu\", not {free}"));
    assert!(!is_said(known, "`my.img` is in use by \"qemu\""));
    assert!(!is_said(&pieces("{a} {b}"), "whatever is said"));
}

#[test]
fn pictures_are_drawn_for_light_and_dark_and_for_those_who_cannot_see_them() {
    let mut shown = BTreeSet::new();
    for document in all().into_iter().filter(|path| path.starts_with("docs/")) {
        let text = read(&document);
        shown.extend(links(&text).into_iter().map(|(_, target)| target).filter(|target| target.ends_with(".svg")));
        assert!(!text.contains("![]("), "{document}: a picture without words in its place");
    }
    let pictures = files(&root().join("docs"), true, "svg");
    assert_eq!(pictures.iter().map(|path| path["docs/".len()..].to_owned()).collect::<BTreeSet<_>>(), shown);
    assert!(pictures.len() >= 3, "{pictures:?}");
    for picture in pictures {
        judge("xmllint").args(["--noout", "--nonet"]).arg(root().join(&picture)).succeed();
        let text = read(&picture);
        for needed in ["role=\"img\"", "<title", "<desc", "aria-labelledby=", "prefers-color-scheme: dark", "viewBox="]
        {
            assert!(text.contains(needed), "{picture} has no {needed}");
        }
        for refused in ["<script", "href", "@import", "url(", "<image", "foreignObject"] {
            assert!(!text.contains(refused), "{picture} has {refused}");
        }
    }
}
