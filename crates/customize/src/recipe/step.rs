//! From a `[[step]]` to a [`Step`].

use std::collections::BTreeMap;

use guest::GuestPath;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, meant, suggestion};
use super::table::Table;
use super::{Input, Step};
use crate::mode::Mode;
use crate::operation::Operation;
use crate::verb::{
    Append, Chmod, Chown, Copy, Destination, FirstBoot, Hostname, KeySource, Link, Mkdir, Move, Password, Remove,
    Replace, Scrub, Secret, SshKey, SyntaxError, Timezone, Touch, Truncate, User, Write,
};

/// What a step can do; each verb's value says to what. The other keys of each.
const VERBS: [(&str, &[&str]); 24] = [
    ("put", &["to", "mode", "owner", "keep-owner"]),
    ("write", &["text", "mode", "owner"]),
    ("append", &["line"]),
    ("mkdir", &["mode", "owner"]),
    ("touch", &[]),
    ("remove", &[]),
    ("link", &["target"]),
    ("chmod", &["mode"]),
    ("chown", &["owner", "recursive"]),
    ("copy", &["to"]),
    ("move", &["to"]),
    ("replace", &["regex", "with"]),
    ("truncate", &["recursive"]),
    ("scrub", &[]),
    ("relabel", &[]),
    ("hostname", &[]),
    ("timezone", &[]),
    ("user", &["uid", "group", "groups", "shell", "home", "make-home", "comment", "system"]),
    ("password", &["text", "input", "hash", "disabled", "locked", "scheme", "salt"]),
    ("ssh-key", &["key", "input"]),
    ("first-boot", &[]),
    ("first-boot-command", &[]),
    ("first-boot-install", &[]),
    ("tar", &["to"]),
];

type Inputs = BTreeMap<String, Input>;

/// The step that `value` is.
pub(super) fn step(value: &Spanned<DeValue<'_>>, inputs: &Inputs, problems: &mut Vec<Problem>) -> Option<Step> {
    let (verb, others) = match value.get_ref() {
        DeValue::Table(table) => match verb_of(table) {
            Some(verb) => verb,
            None => {
                problems.push(no_verb(table, value.span()));
                return None;
            }
        },
        _ => VERBS[0],
    };
    let keys: Vec<&str> = [&[verb], others].concat();
    let mut table = Table::new(value, &format!("a `{verb}`"), &keys, problems)?;
    let operation = match verb {
        "put" => return put(&mut table, inputs),
        "password" => return password(&mut table, inputs),
        "ssh-key" => return ssh_key(&mut table, inputs),
        "first-boot" => return Some(Step::FirstBoot { input: input(&mut table, verb, inputs)? }),
        "tar" => {
            let input = input(&mut table, verb, inputs);
            let to = required_path(&mut table, verb, "to");
            return Some(Step::Tar { input: input?, directory: to? });
        }
        "copy" | "move" => {
            let (from, to) = (table.parsed(verb), destination(&mut table, verb));
            let (from, to) = (from?, to?);
            match verb {
                "copy" => Operation::Copy(Copy { from, to }),
                _ => Operation::Move(Move { from, to }),
            }
        }
        "hostname" => Operation::Hostname(said(&mut table, verb, |text| Hostname::parse(text.as_ref()))?),
        "timezone" => Operation::Timezone(said(&mut table, verb, |text| Timezone::parse(text.as_ref()))?),
        "remove" => Operation::Remove(said(&mut table, verb, |text| Remove::parse(text.as_ref()))?),
        "first-boot-command" => {
            Operation::FirstBoot(said(&mut table, verb, |text| FirstBoot::parse_command(text.as_ref()))?)
        }
        "first-boot-install" => Operation::FirstBoot(packages(&mut table, verb)?),
        "user" => Operation::User(user(&mut table)?),
        "relabel" => match table.boolean("relabel")? {
            true => Operation::Relabel,
            false => {
                let span = table.span_of("relabel").unwrap_or_default();
                table.problem(Problem::new("this step does nothing", span).hint("leave it out"));
                return None;
            }
        },
        _ => file_operation(&mut table, verb)?,
    };
    Some(Step::Do(operation))
}

/// The step of a verb whose value is a path.
fn file_operation(table: &mut Table<'_, '_>, verb: &str) -> Option<Operation> {
    let path: Option<GuestPath> = table.parsed(verb);
    Some(match verb {
        "write" => {
            require(table, verb, "text");
            let content = table.text("text");
            let (mode, owner) = (mode(table, "mode"), table.parsed("owner"));
            Operation::Write(Write { path: path?, content: content?.as_bytes().to_vec(), mode, owner })
        }
        "append" => {
            require(table, verb, "line");
            let line = table.text("line");
            Operation::Append(Append { path: path?, line: line?.as_bytes().to_vec() })
        }
        "mkdir" => {
            let (mode, owner) = (mode(table, "mode"), table.parsed("owner"));
            Operation::Mkdir(Mkdir { path: path?, mode, owner })
        }
        "link" => {
            require(table, verb, "target");
            let target = table.string("target");
            Operation::Link(Link { target: target?.as_bytes().to_vec(), links: vec![path?] })
        }
        "chmod" => {
            require(table, verb, "mode");
            let mode = mode(table, "mode");
            Operation::Chmod(Chmod { path: path?, mode: mode? })
        }
        "chown" => {
            require(table, verb, "owner");
            let owner = table.parsed("owner");
            let recursive = table.boolean("recursive").unwrap_or(false);
            Operation::Chown(Chown { path: path?, owner: owner?, recursive })
        }
        "replace" => {
            require(table, verb, "regex");
            let pattern = table.parsed("regex");
            require(table, verb, "with");
            let with = table.text("with");
            Operation::Replace(Replace { path: path?, pattern: pattern?, with: with?.to_owned() })
        }
        "truncate" => {
            let recursive = table.boolean("recursive").unwrap_or(false);
            Operation::Truncate(Truncate { path: path?, recursive })
        }
        "touch" => Operation::Touch(Touch { path: path?, only_regular: false }),
        "scrub" => Operation::Scrub(Scrub { path: path? }),
        _ => unreachable!("every verb was dealt with"),
    })
}

/// The verb that comes first, with its other keys.
fn verb_of(table: &DeTable<'_>) -> Option<(&'static str, &'static [&'static str])> {
    let mut keys: Vec<_> = table.keys().collect();
    keys.sort_by_key(|key| key.span().start);
    keys.iter().find_map(|key| VERBS.iter().find(|(verb, _)| *verb == key.get_ref().as_ref()).copied())
}

/// A step without a verb: the first key that nobody knows was probably meant to be one.
fn no_verb(table: &DeTable<'_>, span: std::ops::Range<usize>) -> Problem {
    let is_other = |key: &str| VERBS.iter().any(|(_, others)| others.contains(&key));
    let mut unknown: Vec<_> = table.keys().filter(|key| !is_other(key.get_ref().as_ref())).collect();
    unknown.sort_by_key(|key| key.span().start);
    match unknown.first() {
        Some(key) => {
            let verbs = VERBS.iter().map(|(verb, _)| *verb);
            Problem::new(format!("unknown verb `{}`", key.get_ref()), key.span()).hint(meant(key.get_ref(), verbs))
        }
        None => Problem::new("this step does nothing", span).hint("say what with `put = \"INPUT\"` or another verb"),
    }
}

fn put(table: &mut Table<'_, '_>, inputs: &Inputs) -> Option<Step> {
    let input = input(table, "put", inputs);
    let to = destination(table, "put");
    let mode = mode(table, "mode");
    let owner = table.parsed("owner");
    let keep_owner = table.boolean("keep-owner").unwrap_or(false);
    if let (true, Some(span), Some(_)) = (keep_owner, table.span_of("keep-owner"), table.span_of("owner")) {
        table.problem(Problem::new("a `put` has an `owner` or keeps the file's, not both", span));
    }
    Some(Step::Put { input: input?, to: to?, mode, owner, keep_owner })
}

fn password(table: &mut Table<'_, '_>, inputs: &Inputs) -> Option<Step> {
    let user = table.string("password");
    let locked = table.boolean("locked").unwrap_or(false);
    let given: Vec<&str> =
        ["text", "input", "hash", "disabled"].into_iter().filter(|key| table.get(key).is_some()).collect();
    let mut input_name = None;
    let secret = match given[..] {
        ["text"] => table.text("text").map(|text| Secret::Plain(text.to_owned())),
        ["hash"] => table.string("hash").map(|hash| Secret::Hash(hash.to_owned())),
        ["input"] => {
            input_name = input(table, "input", inputs);
            // The file is known when the recipe's inputs are.
            input_name.as_ref().map(|_| Secret::Unchanged)
        }
        ["disabled"] if table.boolean("disabled") == Some(true) => Some(Secret::Disabled),
        [] if locked => Some(Secret::Unchanged),
        _ => {
            let span = table.span_of("password").unwrap_or_else(|| table.span());
            let problem = Problem::new("this `password` does not say one, or says several", span);
            table.problem(problem.hint("it has one of `text`, `input`, `hash`, `disabled = true`, `locked = true`"));
            None
        }
    };
    let scheme = table.parsed("scheme");
    let salt = table.string("salt").map(str::to_owned);
    let password = Password { locked, scheme, salt, ..Password::new(user?, secret?) };
    checked(table, "password", password.check())?;
    Some(match input_name {
        Some(input) => Step::Password { input, password },
        None => Step::Do(Operation::Password(password)),
    })
}

fn ssh_key(table: &mut Table<'_, '_>, inputs: &Inputs) -> Option<Step> {
    let user = table.string("ssh-key");
    match (table.get("key").is_some(), table.get("input").is_some()) {
        (true, false) => {
            let key = KeySource::Text(table.string("key")?.to_owned());
            let key = SshKey { user: user?.to_owned(), key };
            checked(table, "key", key.check())?;
            Some(Step::Do(Operation::SshKey(key)))
        }
        (false, true) => {
            let input = input(table, "input", inputs);
            Some(Step::SshKey { user: user?.to_owned(), input: input? })
        }
        _ => {
            let span = table.span_of("ssh-key").unwrap_or_else(|| table.span());
            table.problem(Problem::new("this `ssh-key` needs a `key` or an `input`", span));
            None
        }
    }
}

fn user(table: &mut Table<'_, '_>) -> Option<User> {
    let name = table.string("user");
    let user = User {
        uid: table.integer("uid"),
        group: table.parsed("group"),
        groups: table.strings("groups").into_iter().map(str::to_owned).collect(),
        shell: table.parsed("shell"),
        home: table.parsed("home"),
        make_home: table.boolean("make-home"),
        comment: table.text("comment").unwrap_or_default().to_owned(),
        system: table.boolean("system").unwrap_or(false),
        name: name?.to_owned(),
    };
    checked(table, "user", user.check())?;
    Some(user)
}

fn packages(table: &mut Table<'_, '_>, verb: &str) -> Option<FirstBoot> {
    let packages = FirstBoot::Packages(table.strings(verb).into_iter().map(str::to_owned).collect());
    checked(table, verb, packages.check())?;
    Some(packages)
}

/// The input that `key` names.
fn input(table: &mut Table<'_, '_>, key: &str, inputs: &Inputs) -> Option<String> {
    let name = table.string(key)?;
    if !inputs.contains_key(name) {
        let problem = Problem::new(format!("there is no input `{name}`"), table.span_of(key).unwrap_or_default());
        let hint = match (is_bare_key(name), inputs.is_empty()) {
            (true, true) => format!("declare it with `[inputs.{name}]`"),
            (true, false) => suggestion(name, inputs.keys().map(String::as_str)),
            // A file of the host is meant.
            (false, _) => {
                let input = bare_key(name);
                format!(
                    "a file goes by a name: `[inputs.{input}]` with `file = {name:?}`, and here `{key} = \"{input}\"`"
                )
            }
        };
        table.problem(problem.hint(hint));
    }
    Some(name.to_owned())
}

/// Whether TOML takes `name` for a key without quotes.
fn is_bare_key(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'))
}

/// A key for the file at `path`: its name, without what a key cannot have.
fn bare_key(path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let key: String = stem.chars().filter(|&letter| is_bare_key(letter.encode_utf8(&mut [0; 4]))).collect();
    if key.is_empty() { "payload".to_owned() } else { key }
}

/// The value of the verb itself, which says all there is.
fn said<T>(table: &mut Table<'_, '_>, verb: &str, parse: impl Fn(&str) -> Result<T, SyntaxError>) -> Option<T> {
    let text = table.string(verb)?;
    checked(table, verb, parse(text))
}

/// The result, or a problem with the value of `key`.
fn checked<T>(table: &mut Table<'_, '_>, key: &str, result: Result<T, SyntaxError>) -> Option<T> {
    result.map_err(|error| table.problem(Problem::new(error.to_string(), table.span_of(key).unwrap_or_default()))).ok()
}

/// Says that there is no `key`, without which the verb cannot be, if so.
fn require(table: &mut Table<'_, '_>, verb: &str, key: &str) {
    if table.get(key).is_none() {
        let span = table.span_of(verb).unwrap_or_else(|| table.span());
        table.problem(Problem::new(format!("this `{verb}` has no `{key}`"), span));
    }
}

/// Says that the verb does not say where, if so.
fn expect_to(table: &mut Table<'_, '_>, verb: &str) -> bool {
    if table.get("to").is_some() {
        return true;
    }
    let span = table.span_of(verb).unwrap_or_else(|| table.span());
    let problem = Problem::new(format!("this `{verb}` does not say where"), span);
    table.problem(problem.hint("add `to = \"/path/in/the/guest\"`"));
    false
}

fn required_path(table: &mut Table<'_, '_>, verb: &str, key: &str) -> Option<GuestPath> {
    if expect_to(table, verb) { table.parsed(key) } else { None }
}

fn destination(table: &mut Table<'_, '_>, verb: &str) -> Option<Destination> {
    if !expect_to(table, verb) {
        return None;
    }
    let text = table.string("to")?;
    match Destination::new(text.as_bytes()) {
        Ok(destination) => Some(destination),
        Err(error) => {
            let span = table.span_of("to").unwrap_or_default();
            table.problem(Problem::new(error.to_string(), span));
            None
        }
    }
}

pub(super) fn mode(table: &mut Table<'_, '_>, key: &str) -> Option<Mode> {
    let value = table.get(key)?;
    if let DeValue::Integer(integer) = value.get_ref() {
        let digits = integer.as_str().trim_start_matches('0');
        let problem = Problem::new("a mode is a string of octal digits", value.span()).label("this is an integer");
        table.problem(problem.hint(format!("write `mode = \"0{digits}\"`")));
        return None;
    }
    table.parsed(key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsStr;
    use std::path::{Path, PathBuf};

    use super::super::Recipe;
    use super::*;
    use crate::verb::{Put, PutOwner, Tar};

    /// The operations of a recipe with two inputs, `a` and `b`.
    fn operations(steps: &str) -> Vec<Operation> {
        let text = format!("[inputs]\na.file = \"x/a\"\nb = {{}}\n{steps}");
        let recipe = Recipe::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
        let given = BTreeMap::from([("b".to_owned(), PathBuf::from("given"))]);
        recipe.operations(&given, Path::new("folder")).unwrap()
    }

    fn parsed<T>(text: &str, parse: impl Fn(&OsStr) -> Result<T, SyntaxError>) -> T {
        parse(OsStr::new(text)).unwrap()
    }

    #[test]
    fn each_step_is_what_its_flag_is() {
        let random = || Ok(String::new());
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ a@b";
        let put = |text: &str| Operation::Put(Put::parse(OsStr::new(text)).unwrap());
        let cases = [
            ("put = 'a'\nto = '/x/'\nmode = '0755'\nowner = '1:2'", put("folder/x/a:/x/:0755:1:2")),
            ("write = '/a'\ntext = ''", Operation::Write(parsed("/a:", Write::parse))),
            ("append = '/a'\nline = 'b'", Operation::Append(parsed("/a:b", Append::parse))),
            ("mkdir = '/a'\nmode = '0700'\nowner = 'a:b'", Operation::Mkdir(parsed("/a:0700:a:b", Mkdir::parse))),
            ("touch = '/a'", Operation::Touch(parsed("/a", Touch::parse))),
            ("remove = '/a*'", Operation::Remove(parsed("/a*", Remove::parse))),
            ("link = '/a'\ntarget = 'b'", Operation::Link(parsed("b:/a", Link::parse))),
            ("chmod = '/a'\nmode = '0600'", Operation::Chmod(parsed("0600:/a", Chmod::parse))),
            ("chown = '/a'\nowner = 'a:1'", Operation::Chown(parsed("a:1:/a", Chown::parse))),
            ("copy = '/a'\nto = '/b/'", Operation::Copy(parsed("/a:/b/", Copy::parse))),
            ("move = '/a'\nto = '/b'", Operation::Move(parsed("/a:/b", Move::parse))),
            ("replace = '/a'\nregex = '^b'\nwith = ''", Operation::Replace(parsed("/a:^b:", Replace::parse))),
            ("truncate = '/a'", Operation::Truncate(parsed("/a", Truncate::parse))),
            ("truncate = '/a'\nrecursive = true", Operation::Truncate(parsed("/a", Truncate::parse_recursive))),
            ("scrub = '/a'", Operation::Scrub(parsed("/a", Scrub::parse))),
            ("relabel = true", Operation::Relabel),
            ("hostname = 'a.b'", Operation::Hostname(parsed("a.b", Hostname::parse))),
            ("timezone = 'A/B'", Operation::Timezone(parsed("A/B", Timezone::parse))),
            (
                "user = 'a'\nuid = 1_234\ngroups = ['b', 'c']\nshell = '/s'\nmake-home = false\ncomment = 'C'\nsystem = true",
                Operation::User(parsed("a:uid=1234:groups=b,c:shell=/s:no-home:comment=C:system", User::parse)),
            ),
            ("password = 'a'\ntext = 'b'", Operation::Password(parsed("a:password:b", |t| Password::parse(t, random)))),
            (
                "password = 'a'\ninput = 'b'",
                Operation::Password(parsed("a:file:given", |t| Password::parse(t, random))),
            ),
            ("password = 'a'\nlocked = true", Operation::Password(parsed("a:locked", |t| Password::parse(t, random)))),
            (
                "password = 'a'\ndisabled = true\nlocked = true",
                Operation::Password(parsed("a:locked:disabled", |t| Password::parse(t, random))),
            ),
            ("ssh-key = 'a'\ninput = 'a'", Operation::SshKey(parsed("a:file:folder/x/a", SshKey::parse))),
            ("first-boot = 'b'", Operation::FirstBoot(parsed("given", FirstBoot::parse_script))),
            ("first-boot-command = 'a b'", Operation::FirstBoot(parsed("a b", FirstBoot::parse_command))),
            ("first-boot-install = ['a', 'b']", Operation::FirstBoot(parsed("a,b", FirstBoot::parse_packages))),
            ("tar = 'b'\nto = '/x'", Operation::Tar(parsed("given:/x", Tar::parse))),
        ];
        for (step, operation) in &cases {
            assert_eq!(&operations(&format!("[[step]]\n{step}\n"))[..], std::slice::from_ref(operation), "{step}");
        }
        let text = format!("[[step]]\nssh-key = 'a'\nkey = '{key}'\n");
        assert_eq!(operations(&text), [Operation::SshKey(parsed(&format!("a:string:{key}"), SshKey::parse))]);
        let all: String = cases.iter().map(|(step, _)| format!("[[step]]\n{step}\n")).collect();
        assert!(operations(&all).iter().eq(cases.iter().map(|(_, operation)| operation)), "the order is kept");
    }

    #[test]
    fn what_only_a_recipe_says_is_understood() {
        let operations = operations(
            "[[step]]\nput = 'a'\nto = '/a'\nkeep-owner = true\n[[step]]\nwrite = '/a'\ntext = 'x'\nmode = '0600'\n\
             owner = 'a:b'\n[[step]]\nchown = '/a'\nowner = '1:2'\nrecursive = true\n\
             [[step]]\npassword = 'a'\ntext = 'b'\nscheme = 'yescrypt'\nsalt = 's'\n",
        );
        let [Operation::Put(put), Operation::Write(write), Operation::Chown(chown), Operation::Password(password)] =
            &operations[..]
        else {
            panic!("{operations:?}")
        };
        assert_eq!(put.owner, PutOwner::Keep);
        assert_eq!((write.mode.unwrap().bits(), write.owner.as_ref().unwrap().to_string()), (0o600, "a:b".to_owned()));
        assert!(chown.recursive);
        assert_eq!((password.scheme, password.salt.as_deref()), (Some(crate::Scheme::Yescrypt), Some("s")));
    }

    #[test]
    fn what_is_wrong_with_a_step_points_at_it() {
        for (step, about, message) in [
            ("chmod = '/a'", "'/a'", "this `chmod` has no `mode`"),
            ("chmod = '/a'\nmode = '755'", "'755'", "a mode is octal and begins with 0: write `0755`"),
            ("write = 'a'\ntext = 'x'", "'a'", "a path in the guest begins with `/`"),
            ("write = '/a'\ntext = 1", "1", "`text` should be a string"),
            ("copy = '/a'", "'/a'", "this `copy` does not say where"),
            ("remove = '/'", "'/'", "`/` is all of the guest, and is not removed"),
            ("relabel = false", "false", "this step does nothing"),
            ("relabel = 'yes'", "'yes'", "`relabel` should be a boolean"),
            ("hostname = 'a b'", "'a b'", "`a b` is no name of a host: letters, digits, `-` and `.` are, up to 64"),
            ("user = 'a'\nuid = -1", "-1", "`uid` is out of range"),
            ("user = 'a:b'", "'a:b'", "`a:b` is no name that a user or a group can have"),
            ("password = 'a'", "'a'", "this `password` does not say one, or says several"),
            ("password = 'a'\ntext = 'x'\nhash = 'y'", "'a'", "this `password` does not say one, or says several"),
            (
                "ssh-key = 'a'\nkey = 'x'",
                "'x'",
                "`x` is not an SSH public key: a key begins with its type, as in `ssh-ed25519 AAAAC3… ada@example.org`",
            ),
            ("first-boot = 'c'", "'c'", "there is no input `c`"),
            ("replace = '/a'\nregex = '('\nwith = ''", "'('", "the regular expression is none: unclosed group"),
            ("write = '/a'\ntext = ''\nchmod = '/a'", "chmod", "unknown key `chmod`"),
            ("chmood = '/a'", "chmood", "unknown verb `chmood`"),
        ] {
            let text = format!("[inputs.a]\n[[step]]\n{step}\n");
            let problems = Recipe::parse(&text).unwrap_err();
            let found: Vec<_> = problems.iter().map(|p| (&text[p.span.clone().unwrap()], p.message.as_str())).collect();
            assert_eq!(found, [(about, message)], "{step}");
        }
    }
}
