//! `--edit`: this machine's Perl on a file of the guest, as the original has it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::process::{Command, Stdio};

use customize::Filter;

use graft::Folder;

/// The variable in which the expression gets to Perl without a shell.
const EXPRESSION: &str = "IMGRAFT_EXPRESSION";
/// Runs the expression once for each line, which is `$_`; `$lineno` counts them.
const PROGRAM: &str = r#"
our $lineno = 0;
our $expr = $ENV{IMGRAFT_EXPRESSION};
while (<STDIN>) { $lineno++; eval $expr; die $@ if $@; print STDOUT $_ or die "print: $!\n"; }
close STDOUT or die "close: $!\n";
"#;
/// The largest result that is taken, in bytes.
const RESULT_LIMIT_BYTES: u64 = 64 << 20;

/// The filter that `expression` is.
pub(super) fn filter(expression: OsString) -> Filter {
    Filter::new(move |content| run(&expression, content))
}

fn run(expression: &OsString, content: &[u8]) -> io::Result<Vec<u8>> {
    // A file, not a pipe: Perl may write as long as it likes before it has read everything.
    let mut input: File = Folder::open(&std::env::temp_dir())?.unnamed_file()?;
    input.write_all(content)?;
    input.rewind()?;
    #[expect(clippy::disallowed_methods, reason = "an expression in Perl is Perl's to carry out, and was asked for")]
    let mut command = Command::new("perl");
    command.args(["-e", PROGRAM]).env(EXPRESSION, expression).stdin(input).stdout(Stdio::piped());
    let mut perl = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            io::ErrorKind::NotFound,
            "there is no `perl` on this machine, which --edit needs; --replace FILE:REGEX:TEXT needs none",
        ),
        _ => error,
    })?;
    let mut result = Vec::new();
    let read = match perl.stdout.take() {
        Some(output) => output.take(RESULT_LIMIT_BYTES + 1).read_to_end(&mut result).map(drop),
        None => Ok(()),
    };
    if result.len() as u64 > RESULT_LIMIT_BYTES {
        perl.kill()?;
    }
    let status = perl.wait()?;
    read?;
    if result.len() as u64 > RESULT_LIMIT_BYTES {
        return Err(io::Error::other(format!("the result is larger than {RESULT_LIMIT_BYTES} bytes")));
    }
    match status.success() {
        true => Ok(result),
        false => Err(io::Error::other(format!("perl says no ({status})"))),
    }
}
