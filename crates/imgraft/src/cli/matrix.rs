//! `imgraft matrix` and `imgraft collect`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use recipe::Cell;

use super::base::BaseSource;
use super::commands::Commands;
use super::{Backing, input_parser};
use crate::environment;

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft matrix fleet.toml --list                        the cells, and the image of each
  imgraft matrix fleet.toml                               build what is not up to date
  imgraft matrix fleet.toml --jobs 8 --cell arch=arm64    only some cells
  imgraft matrix fleet.toml --delta                       only what makes each image out of its base
  imgraft matrix fleet.toml --shard 2/4                   the second of four machines
  imgraft collect fleet.toml                              say what is missing

Each cell of a recipe's `[matrix]` is an image: {matrix.AXIS} in the recipe's strings has its value.
Beside each image, IMAGE.cell.json says what it was made of, by digest. A cell whose recipe, base and
inputs are the same is up to date. A cell that fails keeps no other one from being built.";

pub(super) const COLLECT_EXAMPLES: &str = "\
Examples:
  imgraft collect fleet.toml                    each image is there, whole, and of this recipe
  imgraft collect fleet.toml --json             the same for programs

It ends with 0 if nothing is missing, and with 1 otherwise. It needs neither bases nor inputs: copy the images of all
machines, with the .cell.json beside each, into one folder first.";

/// Which cells of which recipe.
#[derive(Debug, Args)]
pub(crate) struct Cells {
    /// The recipe, which has a table `[matrix]`
    #[arg(default_value = "imgraft.toml")]
    pub(crate) recipe: PathBuf,

    /// Only the cells with this value, or with these: `AXIS=VALUE`, several with commas. Can be given several times,
    /// for the cells of each
    #[arg(long = "cell", value_name = "AXIS=VALUE")]
    pub(crate) cells: Vec<Cell>,

    /// Make IMAGE.delta in place of each image, for those who have its base
    #[arg(long)]
    pub(crate) delta: bool,

    /// The version that is released, which is `{version}` in the names of the recipe; a leading `v` is dropped
    #[arg(long, value_name = "VERSION")]
    pub(crate) release_version: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) source: BaseSource,
}

#[derive(Debug, Args)]
pub(crate) struct Matrix {
    #[command(flatten)]
    pub(crate) cells: Cells,

    /// Only the Kth of N parts of the cells: `2/4`. `auto` takes both from Slurm's array or from GitLab's `parallel`;
    /// `auto/N` takes K from a Kubernetes Indexed Job
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<Shard>,

    /// How many images are built at a time [default: as many as there are processors]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// Build what is up to date, too
    #[arg(long)]
    pub(crate) rebuild: bool,

    /// List the cells, and the image of each, and build nothing
    #[arg(long, conflicts_with = "list_json")]
    pub(crate) list: bool,

    /// Print the cells as GitHub's `strategy.matrix` takes them, and build nothing
    #[arg(long)]
    pub(crate) list_json: bool,

    /// Use the bases in imgraft.lock, and fail if one is not there
    #[arg(long)]
    pub(crate) locked: bool,

    /// The file or tree that is an input of the recipe
    #[arg(long = "input", value_name = "NAME=PATH", value_parser = input_parser())]
    pub(crate) inputs: Vec<(String, PathBuf)>,

    #[command(flatten)]
    pub(crate) commands: Commands,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Collect {
    #[command(flatten)]
    pub(crate) cells: Cells,
}

/// One of several parts of the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 0 on.
    pub(crate) index: u32,
    /// How many there are.
    pub(crate) count: NonZeroU32,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let variable = |name: &str| environment::text(name)?.parse().ok();
        match text.strip_prefix("auto") {
            Some(rest) => Self::of_environment(rest, variable),
            None => Self::of_text(text),
        }
    }
}

impl Shard {
    fn new(number: u32, count: u32) -> Option<Self> {
        Some(Self { index: number.checked_sub(1).filter(|index| *index < count)?, count: NonZeroU32::new(count)? })
    }

    fn of_text(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
        let shard = parts.and_then(|(number, count)| Self::new(number, count));
        shard.ok_or_else(|| "expected K/N with K from 1 to N, such as 2/4, or `auto`".to_owned())
    }

    /// What the engine that starts many of us says, where `rest` is what follows `auto`.
    fn of_environment(rest: &str, variable: impl Fn(&str) -> Option<u32>) -> Result<Self, String> {
        let given = match rest.strip_prefix('/') {
            Some(count) => Some(count.parse().map_err(|_| "expected `auto/N` with a number".to_owned())?),
            None if rest.is_empty() => None,
            None => return Err("expected `auto` or `auto/N`".to_owned()),
        };
        let slurm = || {
            let (id, first) = (variable("SLURM_ARRAY_TASK_ID")?, variable("SLURM_ARRAY_TASK_MIN")?);
            let step = variable("SLURM_ARRAY_TASK_STEP").filter(|step| *step > 0).unwrap_or(1);
            Some((id.checked_sub(first)? / step + 1, given.or(variable("SLURM_ARRAY_TASK_COUNT"))?))
        };
        let kubernetes = || Some((variable("JOB_COMPLETION_INDEX")?.checked_add(1)?, given?));
        let gitlab = || Some((variable("CI_NODE_INDEX")?, given.or(variable("CI_NODE_TOTAL"))?));
        let found = slurm().or_else(kubernetes).or_else(gitlab);
        found.and_then(|(number, count)| Self::new(number, count)).ok_or_else(|| {
            "neither SLURM_ARRAY_TASK_ID nor CI_NODE_INDEX says which part this is; JOB_COMPLETION_INDEX does with \
             `auto/N`"
                .to_owned()
        })
    }

    /// Whether the cell with this index is of this part.
    pub(crate) fn has(self, index: usize) -> bool {
        index as u64 % u64::from(self.count.get()) == u64::from(self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_a_part_of_several() {
        assert_eq!("2/4".parse::<Shard>().unwrap(), Shard::new(2, 4).unwrap());
        for text in ["0/4", "5/4", "1/0", "1", "a/b", "-1/2", "1/4/2", "autox", "auto/x", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        let parts: Vec<Vec<usize>> =
            (1..=3).map(|number| (0..8).filter(|&index| Shard::new(number, 3).unwrap().has(index)).collect()).collect();
        assert_eq!(parts, [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
    }

    #[test]
    fn engines_say_which_part_it_is() {
        for (rest, variables, shard) in [
            ("", "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_COUNT=8", Some((3, 8))),
            (
                "",
                "SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_STEP=7 SLURM_ARRAY_TASK_COUNT=3",
                Some((3, 3)),
            ),
            ("", "SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_COUNT=8", None),
            ("/6", "JOB_COMPLETION_INDEX=0", Some((1, 6))),
            ("/6", "JOB_COMPLETION_INDEX=6", None),
            ("", "JOB_COMPLETION_INDEX=0", None),
            ("", "CI_NODE_INDEX=2 CI_NODE_TOTAL=2", Some((2, 2))),
            ("", "", None),
        ] {
            let variable = |name: &str| {
                let of = |pair: &str| pair.split_once('=').filter(|(key, _)| *key == name)?.1.parse().ok();
                variables.split_whitespace().find_map(of)
            };
            let expected = shard.map(|(number, count)| Shard::new(number, count).unwrap());
            assert_eq!(Shard::of_environment(rest, variable).ok(), expected, "{rest} {variables}");
        }
    }
}
