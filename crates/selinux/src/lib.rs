//! The labels that an SELinux policy gives to files, by their paths: the files `file_contexts` of a policy, read as
//! libselinux reads them.
//!
//! # A label: an example
//!
//! A policy says, among 5,500 lines:
//!
//! ```text
//! /.*                              system_u:object_r:default_t:s0
//! /usr(/.*)?                       system_u:object_r:usr_t:s0
//! /usr/bin/.*                      system_u:object_r:bin_t:s0
//! /usr/bin/passwd          --      system_u:object_r:passwd_exec_t:s0
//! ```
//!
//! and its file `file_contexts.subs_dist` says `/bin /usr/bin`. Which label has the regular file `/bin/ls`?
//!
//! 1. *Another name.* `/bin` stands for `/usr/bin`: the path is `/usr/bin/ls`.
//! 2. *Names.* No line without special characters is this path; `/usr/bin/passwd` is not.
//! 3. *Expressions.* Of the others, the last one that matches the whole path counts, as policies have their lines in the
//!    order in which they get more special: it is `/usr/bin/.*`. The label is `system_u:object_r:bin_t:s0`.
//!
//! The second column names a kind of file: `--` is a regular file, `-d` a directory, `-l` a symlink. A line with another
//! kind is passed over. `<<none>>` in the place of a label means that such files have none.
//!
//! selabel_file(5), file_contexts(5), and libselinux's `label_file.c`.

mod file_contexts;
mod spec;
mod substitution;

pub use file_contexts::{Error, FileContexts, Label, Texts};
