use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use recipe::{Base, Placeholder, SyntaxError, Template, Values};

use super::*;
use crate::verb::*;
use crate::{Recipe, Step};

const AUTONOE: &str = include_str!("../../../../recipes/autonoe.toml");

/// The operations of a recipe with two inputs, `a` and `b`.
fn operations(steps: &str) -> Vec<Operation> {
    let text = format!("[inputs]\na.file = \"x/a\"\nb = {{}}\n{steps}");
    let recipe = Recipe::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let given = BTreeMap::from([("b".to_owned(), PathBuf::from("given"))]);
    recipe.operations(&given, Path::new("folder"), &Values::default()).unwrap()
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
        ("hardlink = '/a'\ntarget = '/b'", Operation::Hardlink(parsed("/b:/a", Hardlink::parse))),
        ("chmod = '/a'\nmode = '0600'", Operation::Chmod(parsed("0600:/a", Chmod::parse))),
        ("chown = '/a'\nowner = 'a:1'", Operation::Chown(parsed("a:1:/a", Chown::parse))),
        ("copy = '/a'\nto = '/b/'", Operation::Copy(parsed("/a:/b/", Copy::parse))),
        ("move = '/a'\nto = '/b'", Operation::Move(parsed("/a:/b", Move::parse))),
        ("replace = '/a'\nregex = '^b'\nwith = ''", Operation::Replace(parsed("/a:^b:", Replace::parse))),
        ("truncate = '/a'", Operation::Truncate(parsed("/a", Truncate::parse))),
        ("truncate = '/a'\nrecursive = true", Operation::Truncate(parsed("/a", Truncate::parse_recursive))),
        ("scrub = '/a'", Operation::Scrub(parsed("/a", Scrub::parse))),
        ("relabel = true", Operation::Relabel(Relabel)),
        ("hostname = 'a.b'", Operation::Hostname(parsed("a.b", Hostname::parse))),
        ("timezone = 'A/B'", Operation::Timezone(parsed("A/B", Timezone::parse))),
        (
            "user = 'a'\nuid = 1_234\ngroups = ['b', 'c']\nshell = '/s'\nmake-home = false\ncomment = 'C'\nsystem = true",
            Operation::User(parsed("a:uid=1234:groups=b,c:shell=/s:no-home:comment=C:system", User::parse)),
        ),
        ("password = 'a'\ntext = 'b'", Operation::Password(parsed("a:password:b", |t| Password::parse(t, random)))),
        ("password = 'a'\ninput = 'b'", Operation::Password(parsed("a:file:given", |t| Password::parse(t, random)))),
        ("password = 'a'\nlocked = true", Operation::Password(parsed("a:locked", |t| Password::parse(t, random)))),
        (
            "password = 'a'\ndisabled = true\nlocked = true",
            Operation::Password(parsed("a:locked:disabled", |t| Password::parse(t, random))),
        ),
        ("ssh-key = 'a'\ninput = 'a'", Operation::SshKey(parsed("a:file:folder/x/a", SshKey::parse))),
        ("first-boot = 'b'", Operation::FirstBoot(parsed("given", FirstBoot::parse_script))),
        ("first-boot-command = 'a b'", Operation::FirstBoot(parsed("a b", FirstBoot::parse_command))),
        ("first-boot-install = ['a', 'b']", Operation::FirstBoot(parsed("a,b", FirstBoot::parse_packages))),
        ("run = 'a b'", Operation::Run(parsed("a b", Run::parse))),
        ("run-script = 'b'", Operation::RunScript(parsed("given", RunScript::parse))),
        ("install = ['a', 'b']", Operation::Install(parsed("a,b", Install::parse))),
        (
            "install = ['a']\nsnapshot = '20261101T000000Z'\nrecommends = false\nclean = true",
            Operation::Install(Install {
                packages: vec!["a".to_owned()],
                snapshot: Some("20261101T000000Z".parse().unwrap()),
                recommends: Some(false),
                clean: true,
            }),
        ),
        ("uninstall = ['a', 'b']", Operation::Uninstall(parsed("a,b", Uninstall::parse))),
        ("update = true", Operation::Update(Update::default())),
        (
            "update = true\nsnapshot = '20261101T000000Z'\nclean = true",
            Operation::Update(Update { snapshot: Some("20261101T000000Z".parse().unwrap()), clean: true }),
        ),
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
        ("remove = '/'", "'/'", "`/` is the whole guest and cannot be removed"),
        ("relabel = false", "false", "this step does nothing"),
        ("relabel = 'yes'", "'yes'", "`relabel` should be a boolean"),
        (
            "hostname = 'a b'",
            "'a b'",
            "`a b` is not a valid hostname: use letters, digits, `-` and `.`, at most 64 of them",
        ),
        ("user = 'a'\nuid = -1", "-1", "`uid` is out of range"),
        (
            "user = 'a:b'",
            "'a:b'",
            "`a:b` is not a valid name of a user or a group: use letters, digits, `_`, `-` and `.`, at most 32",
        ),
        ("password = 'a'", "'a'", "this `password` needs exactly one password"),
        ("password = 'a'\ntext = 'x'\nhash = 'y'", "'a'", "this `password` needs exactly one password"),
        (
            "ssh-key = 'a'\nkey = 'x'",
            "'x'",
            "`x` is not an SSH public key: a key begins with its type, as in `ssh-ed25519 AAAAC3… ada@example.org`",
        ),
        ("first-boot = 'c'", "'c'", "there is no input `c`"),
        ("replace = '/a'\nregex = '('\nwith = ''", "'('", "invalid regular expression: unclosed group"),
        ("write = '/a'\ntext = ''\nchmod = '/a'", "chmod", "unknown key `chmod`"),
        ("hardlink = '/a'", "'/a'", "this `hardlink` has no `target`"),
        ("hardlink = '/a'\ntarget = 'b'", "'b'", "a path in the guest begins with `/`"),
        (
            "put = 'a'\nto = '/a'\nowner = '1:2'\nkeep-owner = true",
            "true",
            "`owner` and `keep-owner` exclude each other",
        ),
        ("run = ' '", "' '", "expected COMMAND, such as `systemctl enable app`"),
        ("run-script = 'c'", "'c'", "there is no input `c`"),
        ("install = []", "[]", "expected PACKAGE[,PACKAGE], such as `nginx,curl`"),
        (
            "install = ['a', 'b;c']",
            "['a', 'b;c']",
            "`b;c` is not a valid package name: use letters, digits and `+-.:_=~/@^`, a letter or digit first and no \
             `-` at the end",
        ),
        (
            "install = ['a']\nsnapshot = '2026-11-01'",
            "'2026-11-01'",
            "`2026-11-01` is not a moment of an archive: write it as `20261101T000000Z`, in UTC",
        ),
        ("update = false", "false", "this step does nothing"),
        ("chmood = '/a'", "chmood", "unknown verb `chmood`"),
    ] {
        let text = format!("[inputs.a]\n[[step]]\n{step}\n");
        let problems = Recipe::parse(&text).unwrap_err();
        let found: Vec<_> = problems.iter().map(|p| (&text[p.span.clone().unwrap()], p.message.as_str())).collect();
        assert_eq!(found, [(about, message)], "{step}");
    }
}

/// Each problem as `"what it is about": message (label; hint)`.
fn problems(text: &str) -> Vec<String> {
    let problems = Recipe::parse(text).unwrap_err();
    problems
        .into_iter()
        .map(|problem| {
            let about = problem.span.map_or("", |span| &text[span]).lines().next().unwrap_or_default().to_owned();
            let extra: Vec<String> = [problem.label, problem.hint].into_iter().flatten().collect();
            format!("{about}: {}{}", problem.message, extra.iter().map(|e| format!(" ({e})")).collect::<String>())
        })
        .collect()
}

#[test]
fn the_autonoe_recipe_says_what_the_image_is() {
    let recipe = Recipe::parse(AUTONOE).unwrap();
    let mut values = Values::default();
    values.set(Placeholder::Version, "1.2.3").unwrap();
    let named = |name: &Option<Template>| name.as_ref().unwrap().path(&values).unwrap();
    assert_eq!(named(&recipe.output), PathBuf::from("autonoe-ubuntu-24.04.img"));
    assert_eq!(named(&recipe.release), PathBuf::from("autonoe-1.2.3-ubuntu-24.04.img"));
    let Some(Base::Published { name, architecture, variant }) = recipe.base else { panic!("{:?}", recipe.base) };
    assert_eq!(name.to_string(), "ubuntu:24.04");
    assert_eq!((architecture.as_deref(), variant.as_deref()), (Some("amd64"), Some("server")));
    let [Step { operation: Operation::Put(put), input: Some(input) }] = &recipe.steps[..] else {
        panic!("{:?}", recipe.steps)
    };
    assert_eq!((input.as_str(), put.destination.path.to_string().as_str()), ("autonoe", "/usr/local/bin/autonoe"));
    assert!(!put.destination.into);
    assert_eq!(put.mode.unwrap().bits(), 0o755);
    assert_eq!(put.owner, PutOwner::Given("root:root".parse().unwrap()));
    assert_eq!(recipe.keep.packages, ["cloud-init", "openssh-server", "git", "curl", "ca-certificates"]);
    assert_eq!(recipe.boot.services, ["cloud-final", "ssh"]);
    assert_eq!(recipe.boot.commands[0].run, "autonoe --version");
    assert_eq!(recipe.boot.files[0].mode.unwrap().bits(), 0o755);
}

#[test]
fn the_recipe_of_autonoe_with_node_is_the_same_and_node() {
    let recipe = Recipe::parse(include_str!("../../../../recipes/autonoe-node.toml")).unwrap();
    let without = Recipe::parse(AUTONOE).unwrap();
    assert!(recipe.network && !without.network);
    assert_eq!((&recipe.base, &recipe.inputs), (&without.base, &without.inputs));
    let [Step { operation: Operation::Install(install), .. }, put, Step { operation: Operation::Run(_), .. }] =
        &recipe.steps[..]
    else {
        panic!("{:?}", recipe.steps)
    };
    assert_eq!(std::slice::from_ref(put), &without.steps[..]);
    assert_eq!(install.packages, ["nodejs", "npm"]);
    assert_eq!((install.recommends, install.clean), (Some(false), true));
    let of_node = ["nodejs", "npm"].map(str::to_owned);
    assert_eq!(recipe.keep.packages, [without.keep.packages, of_node.to_vec()].concat());
}

#[test]
fn modes_are_octal_strings() {
    let step = |mode: &str| format!("[inputs.a]\n[[step]]\nput = \"a\"\nto = \"/a\"\nmode = {mode}\n");
    let integer = "a mode is a string of octal digits (this is an integer) (write `mode = \"0755\"`)";
    assert_eq!(problems(&step("755")), [format!("755: {integer}")]);
    assert_eq!(problems(&step("0o755")), [format!("0o755: {integer}")]);
    assert_eq!(problems(&step("\"755\"")), ["\"755\": a mode is octal and begins with 0: write `0755`"]);
    assert_eq!(problems(&step("\"rwx\"")), ["\"rwx\": `rwx` is not a mode: expected octal digits, such as `0755`"]);
}

#[test]
fn a_step_has_a_verb_and_an_input_and_a_place() {
    assert_eq!(
        problems("[inputs.autonoe]\n[[step]]\nput = \"autonoi\"\nto = \"/a\"\n"),
        ["\"autonoi\": there is no input `autonoi` (did you mean `autonoe`?)"]
    );
    assert_eq!(
        problems("[[step]]\nput = \"a\"\n"),
        [
            "\"a\": there is no input `a` (declare it with `[inputs.a]`)",
            "\"a\": this `put` does not say where (add `to = \"/path/in/the/guest\"`)",
        ]
    );
    assert_eq!(problems("[[step]]\nputt = \"a\"\nto = \"/a\"\n"), ["putt: unknown verb `putt` (did you mean `put`?)"]);
    assert_eq!(
        problems("[[step]]\nto = \"/a\"\n"),
        ["[[step]]: this step does nothing (say what with `put = \"INPUT\"` or another verb)"]
    );
    assert_eq!(
        problems("[inputs.a]\n[[step]]\nput = \"a\"\nto = \"bin/a\"\nowner = \"root\"\n"),
        ["\"bin/a\": a path in the guest begins with `/`", "\"root\": owner `root` has no group: write `root:GROUP`"]
    );
}

#[test]
fn a_step_is_a_table() {
    assert_eq!(problems("step = [3]\n"), ["3: a step should be a table (this is an integer)"]);
}

#[test]
fn each_verb_is_said_in_one_way_only() {
    let mut names = std::collections::BTreeSet::new();
    for flag in verbs().flat_map(|verb| verb.flags) {
        assert!(names.insert(flag.name), "--{} is there twice", flag.name);
        assert!(!flag.help.is_empty() && !flag.help.ends_with('.'), "--{}: {}", flag.name, flag.help);
    }
    for form in verbs().map(|verb| verb.step) {
        assert!(!form.keys.contains(&form.name) && !form.value.is_empty(), "{form:?}");
        assert!(names.contains(form.name), "the step `{}` has no flag", form.name);
    }
}
