//! Whole texts, against PyYAML.

use crate::support::{Dice, ours, pyyaml};

/// Texts of which others are made.
const TEXTS: &[&str] = &[
    "#cloud-config\nusers:\n  - default\n  - name: a\n    groups: [x, y]\n    sudo: ALL=(ALL) NOPASSWD:ALL\n    lock_passwd: false\n",
    "#cloud-config\nruncmd:\n - [ls, -l, /]\n - [ sh, -xc, \"echo $(date) ': hello'\" ]\n - echo hi > /tmp/x\n - 'a: b'\n",
    "write_files:\n- content: |\n    line one\n      two\n\n    three\n  path: /etc/x\n  permissions: '0644'\n- encoding: b64\n  content: aGVsbG8=\n",
    "a: &x\n  b: 1\n  c: 2\nd:\n  <<: *x\n  c: 3\ne: *x\n",
    "base: &b {a: 1, b: 2}\nother: &c {b: 3}\nm:\n  <<: [*b, *c]\n  z: 1\n",
    "k: >-\n  folded\n  text\n\n  more\nl: |+\n  keep\n\nm: \"double \\\n  joined\"\nn: 'single\n  folded'\n",
    "---\nnetwork:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n      match: {macaddress: '52:54:00:00:00:01'}\n",
    "version: 1\nconfig:\n- type: physical\n  name: eth0\n  mac_address: 00:11:22:33:44:55\n  subnets:\n  - type: static\n    address: 10.0.0.2/24\n",
    "? a\n: b\n? [c]\n: d\n",
    "- a\n-\n  - b\n  -   c: 1\n      d: 2\n- - e\n  - f\n-\n",
    "{a: [1, 2, {b: c}], \"d\": 'e', f: , g}\n",
    "a: 'it''s'\nb: \"x\\ty\\u00e9\\n\"\nc: plain # comment\nd: plain#not\ne:\n",
    "%YAML 1.1\n---\na: !!str 12\nb: !!binary aGk=\nc: !!set {x, y}\n...\n",
    "a:\n- b\n- c\nd: [http://x/y, k: v, 'q']\n\n# end\n",
    "a: b\r\nc:\r\n  - d\r\n  - |\r\n    x\r\n    y\r\n",
    "key with spaces: value with: colon\nurl: http://x:80/y?z#w\nt: 12:30\n",
    "literal: |2\n    two\n   one\nstrip: >+2\n  x\n   y\n",
];

/// What a mistaken hand puts into a text.
const INSERTS: &[&str] = &[
    " ", "  ", "\t", "\n", ":", ": ", "-", "- ", "#", " #", "'", "\"", "[", "]", "{", "}", ",", "&a ", "*a", "*x", "!",
    "|", ">", "%", "@", "`", "?", "? ", "\\", "\r", "---\n", "...\n", "~", "é", "\u{feff}", "\u{85}", "\0", "<<: ",
    "=", "\u{a0}", "0", "!!str ",
];

fn mutated(dice: &mut Dice) -> String {
    let mut text = (*dice.pick(TEXTS)).to_owned();
    for _ in 0..=dice.below(2) {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let at = *dice.pick(&places);
        match dice.below(5) {
            0 | 1 => text.insert_str(at, dice.pick::<&str>(INSERTS)),
            2 if at < text.len() => drop(text.remove(at)),
            3 => {
                // A line is set in, or out.
                let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                match dice.below(3) {
                    0 => text.insert(start, ' '),
                    1 => text.insert(start, '\t'),
                    _ if text[start..].starts_with(' ') => drop(text.remove(start)),
                    _ => {}
                }
            }
            _ => {
                let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
                let one = dice.below(lines.len());
                if lines.is_empty() {
                    continue;
                }
                match dice.below(3) {
                    0 => drop(lines.remove(one)),
                    1 => lines.insert(one, lines[one]),
                    _ => {
                        let other = dice.below(lines.len());
                        lines.swap(one, other);
                    }
                }
                text = lines.concat();
            }
        }
    }
    text
}

#[test]
fn texts_are_what_pyyaml_makes_of_them() {
    let texts: Vec<String> = TEXTS.iter().map(|&text| text.to_owned()).collect();
    for (text, said) in texts.iter().zip(pyyaml(&texts)) {
        assert_eq!(ours(text), said, "{text}");
    }
}

#[test]
fn mistakes_are_what_pyyaml_makes_of_them() {
    let mut dice = Dice::new(2);
    let texts: Vec<String> = (0..20_000).map(|_| mutated(&mut dice)).collect();
    let said = pyyaml(&texts);
    let mut refused = 0;
    let mut differing = Vec::new();
    for (text, said) in texts.iter().zip(&said) {
        refused += usize::from(said == "error");
        let why = seed::yaml::parse(text).err().map_or(String::new(), |error| error.to_string());
        // Python can have a list within itself. Nothing that cloud-init reads is one.
        if why.ends_with("is inside the value that it stands for") {
            continue;
        }
        let ours = ours(text);
        if ours != *said {
            differing.push(format!("{text:?}:\n    PyYAML says {said}\n    we say {ours} {why}"));
        }
    }
    assert!(refused > 2000, "{refused}");
    assert!(differing.is_empty(), "{}:\n{}", differing.len(), differing.join("\n"));
}
