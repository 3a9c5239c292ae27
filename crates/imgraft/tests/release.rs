//! What a release has beside the program: manual pages and completions, by those who read them; and `install.sh`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use testkit::judge::{find, judge};

use crate::support::World;

/// The manual pages in a folder `man`.
fn with_pages() -> (World, Vec<String>) {
    let world = World::empty();
    fs::create_dir(world.path("man")).unwrap();
    world.run("man man").succeeds();
    let mut pages: Vec<String> =
        fs::read_dir(world.path("man")).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    (world, pages)
}

/// The names of all commands that `--help` lists, such as `seed-iso`.
fn commands(world: &World, of: &str) -> Vec<String> {
    let help = world.run(&format!("{of} --help")).succeeds().stdout;
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let names = listed.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_ascii_whitespace().next()).filter(|&name| name != "help");
    names
        .flat_map(|name| {
            let whole = format!("{of} {name}").trim().to_owned();
            let below = commands(world, &whole);
            std::iter::once(whole.replace(' ', "-")).chain(below).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn each_command_has_a_manual_page_and_man_has_nothing_to_remark() {
    let (world, pages) = with_pages();
    let expected = commands(&world, "");
    assert!(expected.iter().any(|name| name == "seed-iso") && expected.iter().any(|name| name == "build"));
    let expected = expected.iter().map(|name| format!("imgraft-{name}.1"));
    let mut expected: Vec<String> = std::iter::once("imgraft.1".to_owned()).chain(expected).collect();
    expected.sort();
    assert_eq!(pages, expected);
    for page in pages {
        let path = world.path("man").join(&page);
        let shown = judge("man").args(["--warnings", "-E", "UTF-8", "-P", "cat", "-l"]).arg(&path);
        let shown = shown.env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").succeed();
        assert_eq!(shown.stderr, "", "{page}");
        assert!(shown.stdout.contains("SYNOPSIS"), "{page}: {}", shown.stdout);
        // What `whatis` and `apropos` find a page by.
        judge("lexgrog").arg(&path).succeed();
    }
}

/// A folder with the completions, named as in a release.
fn with_completions() -> World {
    let world = World::empty();
    for (shell, file) in [("bash", "imgraft.bash"), ("zsh", "_imgraft"), ("fish", "imgraft.fish")] {
        let script = world.run(&format!("completions {shell}")).succeeds().stdout;
        world.file(file, script);
    }
    world
}

#[test]
fn bash_completes_commands_and_options() {
    let world = with_completions();
    let complete = |words: &str, last: usize| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={last}; _imgraft imgraft \"${{COMP_WORDS[{last}]}}\" \
             \"${{COMP_WORDS[{}]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            world.path("imgraft.bash").display(),
            last - 1
        );
        let said = judge("bash").args(["--norc", "-c", &script]).succeed();
        assert_eq!(said.stderr, "");
        said.stdout
    };
    assert_eq!(complete("imgraft cust", 1), "customize\n");
    assert_eq!(complete("imgraft seed is", 2), "iso\n");
    assert_eq!(complete("imgraft build --verify", 2), "--verify-reproducible\n");
}

#[test]
fn fish_completes_commands_and_options() {
    let world = with_completions();
    let complete = |line: &str| {
        let script = format!("source {}; complete -C '{line}'", world.path("imgraft.fish").display());
        let said = judge("fish").args(["--no-config", "-c", &script]).env("HOME", world.folder()).succeed();
        assert_eq!(said.stderr, "");
        said.stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(complete("imgraft cust"), ["customize"]);
    assert_eq!(complete("imgraft seed is"), ["iso"]);
    assert_eq!(complete("imgraft build --verify"), ["--verify-reproducible"]);
}

/// In a terminal, as somebody types it: zsh completes nowhere else.
#[test]
fn zsh_completes_commands_and_options() {
    let world = with_completions();
    let complete = |line: &str| {
        let prepare = format!(
            "PS1= PS2= RPS1=; unsetopt zle_bracketed_paste; stty -echo; fpath=({} $fpath); autoload -Uz compinit; \
             compinit -u -D; imgraft() {{ print -r -- \"<typed $*>\" }}; print rea\"\"dy",
            world.folder().display(),
        );
        let script = format!(
            "zmodload zsh/zpty; zpty shell zsh -f -i; zpty -w shell '{prepare}'; zpty -r -m shell said '*ready*' || exit 1; \
             zpty -w shell $'{line}\\t'; zpty -r -m shell said '*<typed*>*' || exit 2; print -r -- $said"
        );
        let said = judge("timeout").args(["60", "zsh", "-f", "-c", &script]).env("HOME", world.folder());
        let said = said.env("TERM", "dumb").succeed().stdout;
        let typed = said.split("<typed ").nth(1).and_then(|rest| rest.split('>').next());
        typed.unwrap_or_else(|| panic!("{said}")).trim_end().to_owned()
    };
    assert_eq!(complete("imgraft cust"), "customize");
    assert_eq!(complete("imgraft seed is"), "seed iso");
    assert_eq!(complete("imgraft build --verify"), "build --verify-reproducible");
}

/// `cargo package` makes a crate only if crates.io can have all that it needs; `./test long` has it made.
#[test]
fn each_crate_can_be_published() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline", "--manifest-path"];
    let said = judge(env!("CARGO")).args(arguments).arg(manifest).succeed().stdout;
    let metadata: serde_json::Value = serde_json::from_str(&said).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == "imgraft-testkit" {
            continue;
        }
        assert!(package["publish"].is_null(), "`{name}` has `publish`");
        for field in ["description", "license", "readme", "repository"] {
            assert!(
                package[field].is_string(),
                "`{name}` has no {field}: take `{field}.workspace = true` where others do"
            );
        }
        let readme =
            Path::new(package["manifest_path"].as_str().unwrap()).with_file_name(package["readme"].as_str().unwrap());
        assert!(readme.exists(), "{}", readme.display());
        for dependency in package["dependencies"].as_array().unwrap() {
            let is_for_tests = dependency["kind"] == "dev";
            let has_version = dependency["req"] != "*";
            assert!(is_for_tests || has_version, "`{name}` needs a version of {}, beside its path", dependency["name"]);
        }
    }
}

/// A folder as `install.sh --from` takes it: a release whose program is a script.
struct Release {
    world: World,
    archive: String,
}

impl Release {
    fn new() -> Self {
        let processor = judge("uname").arg("-m").succeed().stdout.trim().to_owned();
        let name = format!("imgraft-9.9.9-{processor}-unknown-linux-musl");
        let world = World::empty();
        let file = |path: &str, content: &str, mode| {
            world.file(&format!("content/{name}/{path}"), content).mode(&format!("content/{name}/{path}"), mode);
        };
        file("imgraft", "#!/bin/sh\necho imgraft 9.9.9\n", 0o755);
        file("man/imgraft.1", ".TH imgraft 1\n", 0o644);
        file("completions/imgraft.bash", "# bash\n", 0o644);
        file("completions/_imgraft", "# zsh\n", 0o644);
        file("completions/imgraft.fish", "# fish\n", 0o644);
        for path in ["README.md", "LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY-LICENSES", "apparmor"] {
            file(path, "text\n", 0o644);
        }
        let archive = format!("{name}.tar.gz");
        fs::create_dir(world.path("dist")).unwrap();
        fs::create_dir(world.path("tmp")).unwrap();
        judge("tar")
            .arg("-C")
            .arg(world.path("content"))
            .arg("-czf")
            .arg(world.path("dist").join(&archive))
            .arg(name)
            .succeed();
        let release = Self { world, archive };
        release.sum();
        release
    }

    /// Writes SHA256SUMS as `sha256sum` does.
    fn sum(&self) {
        let script = format!("cd '{}' && sha256sum {}", self.world.path("dist").display(), self.archive);
        self.world.file("dist/SHA256SUMS", judge("sh").args(["-c", &script]).succeed().stdout);
    }

    fn install_by(&self, shell: &[&str], arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../install.sh");
        let program = find(shell[0]).unwrap_or_else(|| panic!("`{}` is not installed", shell[0]));
        let mut command = Command::new(program);
        command.args(&shell[1..]).arg(script).args(arguments).current_dir(self.world.folder());
        command.env("HOME", self.world.path("home")).env("TMPDIR", self.world.path("tmp"));
        command.env("IMGRAFT_RELEASES", format!("file://{}", self.world.path("site").display()));
        command.output().unwrap()
    }

    fn install(&self, arguments: &[&str]) -> Output {
        self.install_by(&["sh"], arguments)
    }

    /// All files under the prefix `to`.
    fn installed(&self) -> Vec<String> {
        let found = judge("find").arg(self.world.folder()).args(["-path", "*/to/*", "-type", "f", "-printf", "%P\n"]);
        let mut files: Vec<String> = found.run().stdout.lines().map(str::to_owned).collect();
        files.sort();
        files
    }

    /// The installation fails with these words, and puts nothing.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], words: &str) {
        let output = self.install(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(self.installed(), [""; 0], "{said}");
        assert_eq!(fs::read_dir(self.world.path("tmp")).unwrap().count(), 0, "what it worked in is left");
    }
}

const FROM: [&str; 4] = ["--from", "dist", "--prefix", "to"];
const ALL: [&str; 8] = [
    "to/bin/imgraft",
    "to/share/bash-completion/completions/imgraft",
    "to/share/doc/imgraft/LICENSE-APACHE",
    "to/share/doc/imgraft/LICENSE-MIT",
    "to/share/doc/imgraft/THIRD-PARTY-LICENSES",
    "to/share/fish/vendor_completions.d/imgraft.fish",
    "to/share/man/man1/imgraft.1",
    "to/share/zsh/site-functions/_imgraft",
];

#[test]
fn install_puts_all_of_a_release_by_any_shell() {
    for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
        let release = Release::new();
        // A second time it replaces what the first one put.
        for _ in 0..2 {
            let output = release.install_by(shell, &FROM);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{shell:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
            assert!(said.contains("installed imgraft 9.9.9 as to/bin/imgraft"), "{said}");
            assert!(said.contains("to/bin is not on PATH"), "{said}");
            assert_eq!(release.installed(), ALL, "{shell:?}");
        }
        let says = judge("sh").arg("-c").arg(release.world.path("to/bin/imgraft")).succeed();
        assert_eq!(says.stdout, "imgraft 9.9.9\n");
        assert_eq!(fs::read_dir(release.world.path("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn install_downloads_the_newest_release_or_the_one_that_is_asked_for() {
    let release = Release::new();
    for place in ["site/latest", "site/download"] {
        fs::create_dir_all(release.world.path(place)).unwrap();
    }
    std::os::unix::fs::symlink(release.world.path("dist"), release.world.path("site/latest/download")).unwrap();
    std::os::unix::fs::symlink(release.world.path("dist"), release.world.path("site/download/v9.9.9")).unwrap();
    release.refuses(&["--prefix", "to", "--version", "1.2.3"], "v1.2.3/SHA256SUMS could not be downloaded");
    for arguments in [&["--prefix", "to"][..], &["--prefix", "to", "--version", "v9.9.9"]] {
        let output = release.install(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(release.installed(), ALL);
        fs::remove_dir_all(release.world.path("to")).unwrap();
    }
}

#[test]
fn install_puts_nothing_unless_it_can_put_all() {
    let release = Release::new();
    let archive = release.world.path("dist").join(&release.archive);
    let good = fs::read(&archive).unwrap();

    release.refuses(&[&FROM[..], &["--checksum", &"0".repeat(64)]].concat(), "and not 0000");
    release.refuses(&[&FROM[..], &["--version", "1.2.3"]].concat(), "names no imgraft-1.2.3-");
    release.refuses(&[&FROM[..], &["--force", "x"]].concat(), "no option `--force`");
    release.refuses(&["--from", "nowhere", "--prefix", "to"], "nowhere has no SHA256SUMS");

    // One bit of a download that is otherwise whole.
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&archive, flipped).unwrap();
    release.refuses(&FROM, "and SHA256SUMS says");
    fs::write(&archive, &good[..good.len() / 2]).unwrap();
    release.refuses(&FROM, "and SHA256SUMS says");
    fs::write(&archive, &good).unwrap();

    // The last place that it looks at.
    fs::create_dir_all(release.world.path("to/bin/imgraft")).unwrap();
    release.refuses(&FROM, "to/bin/imgraft is a folder");
    fs::remove_dir(release.world.path("to/bin/imgraft")).unwrap();

    release.world.file(&format!("content/{}/imgraft", release.archive.trim_end_matches(".tar.gz")), "not a program");
    let content = release.world.path("content");
    judge("tar")
        .arg("-C")
        .arg(&content)
        .arg("-czf")
        .arg(&archive)
        .arg(release.archive.trim_end_matches(".tar.gz"))
        .succeed();
    release.sum();
    release.refuses(&FROM, "does not run on this machine");
}
