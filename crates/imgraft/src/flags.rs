//! The verbs as flags: the order in which they are given is that in which they are carried out.

use std::error::Error;
use std::ffi::OsStr;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use customize::{
    Append, Chmod, Chown, Copy, FirstBoot, Hostname, Link, Mkdir, Move, Operation, Password, Put, PutOwner, Remove,
    Replace, Scrub, SshKey, Tar, Timezone, Touch, Truncate, User, Write,
};

use crate::environment::random_password;

type ParseError = Box<dyn Error + Send + Sync>;

/// A verb as a flag.
struct Flag {
    name: &'static str,
    /// What it takes; nothing where this is empty.
    value: &'static str,
    help: &'static str,
    parse: fn(&OsStr) -> Result<Operation, ParseError>,
}

/// A flag whose value one of the verbs reads.
macro_rules! flag {
    ($name:literal, $value:literal, $operation:ident, $parse:expr, $help:literal) => {
        Flag { name: $name, value: $value, help: $help, parse: |text| Ok(Operation::$operation($parse(text)?)) }
    };
}

const FLAGS: &[Flag] = &[
    flag!(
        "put",
        "SRC:DEST[:MODE[:UID:GID]]",
        Put,
        Put::parse,
        "Put a file or a tree at DEST, or into it where it is a directory or ends in `/`. Without MODE, each file's \
         own; without UID:GID, root:root"
    ),
    flag!("write", "PATH:TEXT", Write, Write::parse, "Make TEXT the content of a file; no newline is added"),
    flag!("append", "PATH:LINE", Append, Append::parse, "Add a line to a file"),
    flag!(
        "mkdir",
        "PATH[:MODE[:USER:GROUP]]",
        Mkdir,
        Mkdir::parse,
        "Make a directory and those on the way, 0755 and root's unless you say otherwise"
    ),
    flag!("touch", "PATH", Touch, Touch::parse, "Make an empty file, or a file look new"),
    flag!(
        "remove",
        "PATTERN",
        Remove,
        Remove::parse,
        "Remove files, and directories with all that is in them: `*`, `?` and `[a-z]` stand for parts of a name"
    ),
    flag!("link", "TARGET:LINK[:LINK]", Link, Link::parse, "Make LINK a symlink to TARGET, as `ln -sf` does"),
    flag!("chmod", "MODE:PATH", Chmod, Chmod::parse, "Set a mode, in octal with a leading 0"),
    flag!("chown", "USER:GROUP:PATH", Chown, Chown::parse, "Set an owner, by number or by the guest's names"),
    flag!("copy", "FROM:TO", Copy, Copy::parse, "Copy a file or a tree of the guest"),
    flag!("move", "FROM:TO", Move, Move::parse, "Move a file or a tree of the guest"),
    flag!(
        "replace",
        "PATH:REGEX:TEXT",
        Replace,
        Replace::parse,
        "Replace each match in each line of a file; `$1` in TEXT is what the first group matched"
    ),
    flag!("hostname", "NAME", Hostname, Hostname::parse, "Set the guest's name, in /etc/hosts too"),
    flag!("timezone", "ZONE", Timezone, Timezone::parse, "Set the guest's time zone, such as Europe/Berlin"),
    flag!(
        "user",
        "NAME[:KEY=VALUE]",
        User,
        User::parse,
        "Make a user, with uid=, group=, groups=, shell=, home=, comment=, system or no-home"
    ),
    flag!(
        "password",
        "USER:SELECTOR",
        Password,
        |text| Password::parse(text, random_password),
        "Set a user's password: password:TEXT, file:PATH, hash:HASH, random, disabled or locked"
    ),
    flag!(
        "ssh-key",
        "USER:SELECTOR",
        SshKey,
        SshKey::parse,
        "Allow a login as a user with a key: file:PATH or string:KEY"
    ),
    flag!("first-boot", "FILE", FirstBoot, FirstBoot::parse_script, "Have the guest run a script when it boots first"),
    flag!(
        "first-boot-command",
        "COMMAND",
        FirstBoot,
        FirstBoot::parse_command,
        "Have the guest run a command when it boots first"
    ),
    flag!(
        "first-boot-install",
        "PACKAGE[,PACKAGE]",
        FirstBoot,
        FirstBoot::parse_packages,
        "Have the guest install packages when it boots first, with a network"
    ),
    flag!("tar", "FILE:DIR", Tar, Tar::parse, "Unpack an archive in a directory; owners are kept, by number"),
    flag!("truncate", "PATH", Truncate, Truncate::parse, "Make a file empty"),
    flag!("truncate-recursive", "PATH", Truncate, Truncate::parse_recursive, "Make all files below a directory empty"),
    flag!("scrub", "PATH", Scrub, Scrub::parse, "Overwrite a file with zeros and remove it"),
    Flag {
        name: "relabel",
        value: "",
        help: "Have the guest label its files for SELinux when it boots",
        parse: |_| Ok(Operation::Relabel),
    },
];

const KEEP_OWNER: &str = "keep-owner";

/// What is to be done, in the order of the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operations(pub(crate) Vec<Operation>);

impl Args for Operations {
    fn augment_args(command: Command) -> Command {
        let keep_owner = Arg::new(KEEP_OWNER)
            .long(KEEP_OWNER)
            .action(ArgAction::SetTrue)
            .help_heading("Changes")
            .help("What is put keeps its owner on the host, by number, unless it is put with another one");
        command.args(FLAGS.iter().map(Flag::argument)).arg(keep_owner)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Operations {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut operations = Vec::new();
        for flag in FLAGS {
            let values = matches.get_many::<Operation>(flag.name).into_iter().flatten().cloned();
            operations.extend(matches.indices_of(flag.name).into_iter().flatten().zip(values));
        }
        operations.sort_by_key(|(index, _)| *index);
        let mut operations: Vec<Operation> = operations.into_iter().map(|(_, operation)| operation).collect();
        if matches.get_flag(KEEP_OWNER) {
            for operation in &mut operations {
                if let Operation::Put(put) = operation
                    && put.owner == PutOwner::Root
                {
                    put.owner = PutOwner::Keep;
                }
            }
        }
        Ok(Self(operations))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Flag {
    fn argument(&self) -> Arg {
        let parser = OsStringValueParser::new().try_map(self.parse_function());
        let argument = Arg::new(self.name).long(self.name).help(self.help).help_heading("Changes");
        let argument = argument.action(ArgAction::Append).value_parser(parser);
        match self.value {
            "" => argument.num_args(0).default_missing_value(""),
            value => argument.value_name(value).allow_hyphen_values(true),
        }
    }

    fn parse_function(&self) -> impl Fn(std::ffi::OsString) -> Result<Operation, ParseError> + Clone + use<> {
        let parse = self.parse;
        move |text| parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Vec<Operation> {
        let command = Operations::augment_args(Command::new("x").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).unwrap();
        Operations::from_arg_matches(&matches).unwrap().0
    }

    #[test]
    fn operations_keep_the_order_in_which_they_are_given() {
        let operations = parse(&[
            "--remove",
            "/a",
            "--write",
            "/a:1",
            "--relabel",
            "--chmod=0600:/a",
            "--write",
            "/a:2",
            "--put",
            "x:/a",
            "--remove",
            "/b",
        ]);
        let verbs: Vec<String> = operations.iter().map(|operation| format!("{operation:?}")).collect();
        let begins = ["Remove", "Write", "Relabel", "Chmod", "Write", "Put", "Remove"];
        assert_eq!(verbs.len(), begins.len());
        for (verb, begin) in verbs.iter().zip(begins) {
            assert!(verb.starts_with(begin), "{verb} {begin}");
        }
    }

    #[test]
    fn keep_owner_is_for_every_put_that_says_none() {
        let operations = parse(&["--put", "a:/a", "--keep-owner", "--put", "b:/b:0644:1:2"]);
        let [Operation::Put(one), Operation::Put(two)] = &operations[..] else { panic!("{operations:?}") };
        assert_eq!(one.owner, PutOwner::Keep);
        assert_eq!(two.owner, PutOwner::Given("1:2".parse().unwrap()));
    }
}
