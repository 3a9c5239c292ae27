use std::fs;
use std::path::{Path, PathBuf};

use metadata::FileKind;
use selinux::{FileContexts, Label, Texts};
use testkit::judge::judge;

/// The folder of a policy with `file_contexts` in it.
fn policy() -> PathBuf {
    let folder = std::env::var_os("IMGRAFT_TEST_SELINUX_POLICY");
    folder.expect("IMGRAFT_TEST_SELINUX_POLICY: see scripts/selinux-policy").into()
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap_or_default()
}

/// The kinds of files by the letters of `matchpathcon -m`.
const KINDS: [(&str, FileKind); 7] = [
    ("f", FileKind::Regular),
    ("d", FileKind::Directory),
    ("l", FileKind::Symlink),
    ("c", FileKind::CharDevice),
    ("b", FileKind::BlockDevice),
    ("p", FileKind::Fifo),
    ("s", FileKind::Socket),
];

/// Paths that the lines of a policy are about, and some beside: each expression with its groups, classes and repetitions
/// filled in in several ways, and names changed at the end.
fn paths(text: &str) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/",
        "/etc",
        "/usr/local/bin/app",
        "/opt/x/y",
        "/home/ada",
        "/home/ada/.ssh/authorized_keys",
        "/root/.profile",
        "/bin",
        "/lib64/x.so",
        "/var/run/x.pid",
        "/run/lock/x",
        "/usr/lib64",
        "/srv/data",
        "/no/such",
    ]
    .map(str::to_owned)
    .to_vec();
    for line in text.lines() {
        let Some(expression) = line.split_whitespace().next().filter(|word| word.starts_with('/')) else { continue };
        for fill in ["", "x", "a/b"] {
            let mut path = String::new();
            let mut characters = expression.chars().peekable();
            while let Some(character) = characters.next() {
                match character {
                    '\\' => path.extend(characters.next()),
                    '.' => path.push_str(if fill.is_empty() { "1" } else { fill }),
                    '(' | ')' | '|' | '?' | '*' | '+' | '^' | '$' => {}
                    '[' => {
                        path.push('s');
                        characters.by_ref().find(|&character| character == ']');
                    }
                    '{' => drop(characters.by_ref().find(|&character| character == '}')),
                    character => path.push(character),
                }
            }
            for more in ["", "-x"] {
                paths.push(format!("{path}{more}"));
            }
        }
    }
    paths.retain(|path| !path.contains("//") && (path.len() == 1 || !path.ends_with('/')));
    paths.sort();
    paths.dedup();
    paths
}

/// Each of these paths, as a file of each kind in turn, has the label that libselinux gives it.
fn is_as_libselinux_says(folder: &Path, paths: &[String]) -> usize {
    let files =
        ["", ".homedirs", ".local", ".subs", ".subs_dist"].map(|end| read(folder, &format!("file_contexts{end}")));
    let [file_contexts, homedirs, local, subs, subs_dist] = &files;
    let policy = FileContexts::parse(&Texts { file_contexts, homedirs, local, subs, subs_dist }).unwrap();
    let mut labelled = 0;
    for (index, (word, kind)) in KINDS.into_iter().enumerate() {
        let mine: Vec<&String> = paths.iter().skip(index).step_by(if index < 3 { 3 } else { 29 }).collect();
        for some in mine.chunks(2000) {
            let said = judge("matchpathcon").arg("-f").arg(folder.join("file_contexts")).args(["-m", word]).args(some);
            let said = said.run().stdout;
            assert_eq!(said.lines().count(), some.len());
            for (path, line) in some.iter().zip(said.lines()) {
                let (named, expected) = line.split_once('\t').unwrap();
                assert_eq!(named, *path);
                let label = match policy.label(path.as_bytes(), kind) {
                    Label::Context(context) => String::from_utf8(context.to_vec()).unwrap(),
                    Label::None | Label::Unknown => "<<none>>".to_owned(),
                    Label::Unreadable(text) => panic!("{}", text.escape_ascii()),
                };
                assert_eq!(label, expected, "{path} ({word})");
                labelled += usize::from(label != "<<none>>");
            }
        }
    }
    labelled
}

#[test]
fn labels_are_those_of_libselinux() {
    let folder = policy();
    let text = String::from_utf8(read(&folder, "file_contexts")).unwrap();
    let paths = paths(&(text + &String::from_utf8(read(&folder, "file_contexts.homedirs")).unwrap()));
    assert!(paths.len() > 10_000, "{}", paths.len());
    assert!(is_as_libselinux_says(&folder, &paths) > 10_000);
}

/// What an administrator has added counts before the policy: lines in `.local`, and other names of directories in `.subs`.
#[test]
fn an_administrators_own_lines_count_first() {
    let (folder, own) = (policy(), tempfile::tempdir().unwrap());
    for end in ["", ".homedirs", ".subs_dist"] {
        fs::write(own.path().join(format!("file_contexts{end}")), read(&folder, &format!("file_contexts{end}")))
            .unwrap();
    }
    let local = "/usr/bin(/.*)?\t--\tsystem_u:object_r:etc_t:s0\n/etc/passwd system_u:object_r:shadow_t:s0\n\
                 /srv(/.*)? <<none>>\n/usr/bin/passwd.? -- system_u:object_r:usr_t:s0\n";
    fs::write(own.path().join("file_contexts.local"), local).unwrap();
    fs::write(own.path().join("file_contexts.subs"), "/data/bin /bin\n/data /var\n/app /\n/data/bin /sbin\n").unwrap();
    let names = [
        "/usr/bin",
        "/usr/bin/ls",
        "/usr/bin/passwd",
        "/usr/bin/passwdx",
        "/etc/passwd",
        "/srv",
        "/srv/a",
        "/data/bin/ls",
        "/data/log/x",
        "/data",
        "/database",
        "/app",
        "/app/etc/passwd",
        "/application",
    ];
    // Each as a file, a directory and a symlink.
    let paths: Vec<String> = names.iter().flat_map(|name| [0; 3].map(|_| (*name).to_owned())).collect();
    assert!(is_as_libselinux_says(own.path(), &paths) > 20);
}
