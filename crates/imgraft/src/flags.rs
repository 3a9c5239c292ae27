//! The verbs as flags: the order in which they are given is that in which they are carried out.

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use customize::{Flag, Host, Operation, PutOwner, verbs};

use crate::environment::random_password;

/// What the verbs need of this machine.
const HOST: Host = Host { random_password };

const KEEP_OWNER: &str = "keep-owner";

/// The operations, in the order of the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operations(pub(crate) Vec<Operation>);

impl Args for Operations {
    fn augment_args(command: Command) -> Command {
        let keep_owner = Arg::new(KEEP_OWNER)
            .long(KEEP_OWNER)
            .action(ArgAction::SetTrue)
            .help_heading("Changes")
            .help("Keep the host's owners, by number, of everything that is put without an owner");
        command.args(flags().map(argument)).arg(keep_owner)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Operations {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut operations = Vec::new();
        for flag in flags() {
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

fn flags() -> impl Iterator<Item = &'static Flag> {
    verbs().flat_map(|verb| verb.flags)
}

fn argument(flag: &'static Flag) -> Arg {
    let parser = OsStringValueParser::new().try_map(|text| (flag.parse)(&text, &HOST));
    let argument = Arg::new(flag.name).long(flag.name).help(flag.help).help_heading("Changes");
    let argument = argument.action(ArgAction::Append).value_parser(parser);
    match flag.value {
        None => argument.num_args(0).default_missing_value(""),
        Some(value) => argument.value_name(value).allow_hyphen_values(true),
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
