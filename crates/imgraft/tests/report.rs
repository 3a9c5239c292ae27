//! `imgraft report`, and the page that `build` and `customize` write: its facts against foreign judges and `diff`.

use std::fs;

use serde_json::Value;
use testkit::fixture::Options;
use testkit::judge::judge;
use testkit::partition::extract_partition;

use crate::support::{BOOT, ROOT, World, noise};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The bytes that are free in an ext4 partition, as `dumpe2fs` says.
fn free_bytes(world: &World, image: &str, partition: u32) -> u64 {
    let file = world.path("partition.tmp");
    extract_partition(&world.path(image), partition, &file);
    let said = judge("dumpe2fs").arg("-h").arg(&file).succeed().stdout;
    fs::remove_file(file).unwrap();
    let number = |name: &str| -> u64 {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    number("Free blocks:") * number("Block size:")
}

fn sha256sum(world: &World, name: &str) -> String {
    let said = judge("sha256sum").arg(world.path(name)).succeed().stdout;
    said.split_ascii_whitespace().next().unwrap().to_owned()
}

fn partition(report: &Value, number: u32) -> &Value {
    let partitions = report["partitions"].as_array().unwrap();
    partitions.iter().find(|partition| partition["number"] == number).unwrap()
}

#[test]
fn the_report_says_what_diff_and_foreign_judges_say() {
    let world = World::new();
    world.file("app", noise(1, 3_000_000)).file("tree/a", "a\n");
    world.run("build --base base.img --size +64M --put app:/usr/bin/app --put tree:/srv/tree --put app:/boot/app -o my.img").succeeds();

    let report = json(&world.run("report my.img --base base.img --json").succeeds().stdout);
    let diff = json(&world.run("diff --blocks --json base.img my.img").stdout);
    for list in ["paths", "partition_table", "outside", "volumes"] {
        assert_eq!(report[list], diff[list], "{list}");
    }
    assert_eq!(report["verdict"], diff["blocks"]["verdict"]);
    assert_eq!(report["blocks"]["volumes"], diff["blocks"]["volumes"]);
    for (number, image) in [(ROOT, "my.img"), (BOOT, "my.img")] {
        let partition = partition(&report, number);
        assert_eq!(partition["image"]["free_bytes"], free_bytes(&world, image, number), "{partition}");
        assert_eq!(partition["base"]["free_bytes"], free_bytes(&world, "base.img", number), "{partition}");
        assert!(partition["changed_bytes"].as_u64().unwrap() >= 3_000_000, "{partition}");
    }
    assert!(
        partition(&report, ROOT)["image"]["size_bytes"].as_u64()
            > partition(&report, ROOT)["base"]["size_bytes"].as_u64()
    );
    for (side, name) in [("base", "base.img"), ("image", "my.img")] {
        assert_eq!(report[side]["sha256"], sha256sum(&world, name), "{side}");
        assert_eq!(report[side]["file_size_bytes"], fs::metadata(world.path(name)).unwrap().len(), "{side}");
    }
    // As many bytes as the blocks are that `cmp` finds to differ.
    let map: u64 = report["map"]["changed_bytes"].as_array().unwrap().iter().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert!(map >= 6_000_000 && map.is_multiple_of(512), "{map}");

    // For people.
    let text = world.run("report my.img --base base.img").succeeds().stdout;
    let verdict = report["verdict"].as_str().unwrap();
    assert!(text.starts_with(&format!("my.img, made of base.img\nchanged {verdict}\npaths: 4 added, ")), "{text}");
}

#[test]
fn packages_that_differ_are_in_the_report() {
    let world = World::new();
    let status = world.run("cat base.img /var/lib/dpkg/status").succeeds().stdout;
    let first = status.lines().find_map(|line| line.strip_prefix("Package: ")).unwrap();
    let rest = status.split_once("\n\n").map_or("", |(_, rest)| rest);
    let new = "Package: zz-new\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2-3\n\n";
    world.file("status", format!("{new}{rest}"));
    world.run("build --base base.img --put status:/var/lib/dpkg/status -o my.img --html page.html").succeeds();
    let report = json(&world.run("report my.img --base base.img --json").succeeds().stdout);
    assert_eq!(report["packages"]["installed"][0]["name"], "zz-new");
    assert_eq!(report["packages"]["removed"][0]["name"], first);
    let page = fs::read_to_string(world.path("page.html")).unwrap();
    assert!(page.contains("<th scope=\"row\">zz-new <small>all</small></th><td></td><td>1:2-3</td>"), "{page}");
}

#[test]
fn build_and_customize_write_the_page_and_say_so() {
    let world = World::with_copy(&Options::default());
    world.file("app", noise(1, 2_000_000));
    let old_size_bytes = fs::metadata(world.path("my.img")).unwrap().len();
    let changed = world
        .run_with("customize my.img --put app:/usr/bin/app --html a.html", &[("SOURCE_DATE_EPOCH", "1700000000")])
        .succeeds();
    assert!(changed.stderr.ends_with("wrote a.html\n"), "{}", changed.stderr);
    let page = fs::read_to_string(world.path("a.html")).unwrap();
    let proof = changed.proof.unwrap();
    let proof = proof.strip_prefix("changed ").unwrap();
    assert!(page.contains(&format!("<p class=\"verdict\">Changed {proof}.</p>")), "{proof}: {page}");
    assert!(page.contains("<code>/usr/bin/app</code> <small>0644 0:0</small>"), "{page}");
    assert!(page.contains("<li>put app at /usr/bin/app (0644 0:0, 1.9 MiB)</li>"), "{page}");
    assert!(page.contains("2023-11-14 22:13 UTC") && page.contains(&sha256sum(&world, "my.img")), "{page}");
    assert!(page.contains("<code>my.img, as it was</code>"), "{page}");
    let grouped =
        |number: u64| format!("{},{:03},{:03} bytes", number / 1_000_000, number / 1000 % 1000, number % 1000);
    assert!(old_size_bytes > 1_000_000 && page.contains(&grouped(old_size_bytes)), "{old_size_bytes}: {page}");

    // What would be made; nothing is.
    world.run("build --base my.img --write /etc/motd:hi --dry-run --html b.html").succeeds();
    let page = fs::read_to_string(world.path("b.html")).unwrap();
    assert!(page.contains("not written: a dry run") && page.contains("It would change "), "{page}");

    // The page cannot be written: that is said.
    let run = world.run("build --base my.img --write /etc/motd:hi -o new.img --html none/b.html");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("`none/b.html` cannot be written"), "{}", run.stderr);
}

#[test]
fn a_page_has_names_of_the_guest_as_text_only() {
    let world = World::new();
    let names = ["<script>alert(1)</script>", "a\nb", "\u{202e}gpj.exe", "`x`", "\"><img src=x>"];
    for name in names {
        let name = name.replace('/', "\u{2215}");
        world.file(&format!("tree/{name}"), "x");
    }
    world.run("build --base base.img --put tree:/srv/tree -o my.img --html page.html").succeeds();
    let page = fs::read_to_string(world.path("page.html")).unwrap();
    for name in [
        "&#60;script&#62;alert(1)&#60;\u{2215}script&#62;",
        "a\\x0ab",
        "[U+202E]gpj.exe",
        "`x`",
        "&#34;&#62;&#60;img src=x&#62;",
    ] {
        assert!(page.contains(&format!("<code>/srv/tree/{name}</code>")), "{name}: {page}");
    }
    // The one script is the page's own, and its policy has nothing but its style's and its script's digests.
    assert_eq!((page.matches("<script").count(), page.matches("<img").count()), (1, 0));
    let policy = page.split_once("Content-Security-Policy\" content=\"").unwrap().1.split_once('"').unwrap().0;
    let policy = policy.replace("&#39;", "'");
    let rules: Vec<&str> = policy.split("; ").collect();
    assert_eq!(rules[..3], ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]);
    for (rule, name, open, close) in
        [(rules[3], "style-src", "<style>", "</style>"), (rules[4], "script-src", "<script>", "</script>")]
    {
        let text = page.split_once(open).unwrap().1.split_once(close).unwrap().0;
        world.file("part", text);
        let said = judge("openssl").args(["dgst", "-sha256", "-r"]).arg(world.path("part")).succeed().stdout;
        let hex = said.split(' ').next().unwrap();
        let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        world.file("digest", bytes);
        let base64 = judge("base64").arg(world.path("digest")).succeed().stdout;
        assert_eq!(rule, format!("{name} 'sha256-{}'", base64.trim()));
    }
    assert_eq!(rules.len(), 5, "{policy}");
}

#[test]
fn the_boots_of_a_test_are_read_from_its_report_and_nothing_else_is() {
    let world = World::new();
    world.file(
        "boot.json",
        r#"{"verdict":"good","image":"my.img","accelerator":"tcg","took_s":50,"boots":[{"name":"first boot",
        "at_s":0,"end_s":48.5,"stages":[{"stage":"firmware","at_s":0},{"stage":"kernel","at_s":4.5}],
        "troubles":[],"checks":[],"modules":[{"name":"config-ssh","at_s":20,"took_s":11.2}],"units":[]}]}"#,
    );
    world.run("report base.img --base base.img --tested boot.json --html page.html").succeeds();
    let page = fs::read_to_string(world.path("page.html")).unwrap();
    assert!(page.contains("<h3>first boot</h3>") && page.contains("config-ssh: 11.20 s, from 20.0 s on"), "{page}");
    assert!(page.contains("No path differs."), "{page}");
    for text in ["{}", "[", r#"{"boots":[{"at_s":1e300}]}"#] {
        world.file("boot.json", text);
        let run = world.run("report base.img --base base.img --tested boot.json");
        assert_eq!(run.code, Some(2));
        let message = "error: `boot.json` is not a report that `imgraft test --json` printed\n";
        assert!(run.stderr.starts_with(message), "{}", run.stderr);
    }
}
