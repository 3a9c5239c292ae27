//! `imgraft seed serve` while it runs.
#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use crate::support::World;

/// A server; it ends with this.
pub(crate) struct Serving {
    pub(crate) child: Child,
    /// Where it says that it is.
    pub(crate) url: String,
}

impl Serving {
    /// Starts it with arguments that are separated by blanks, and more that may have blanks in them.
    pub(crate) fn start(world: &World, arguments: &str, more: &[&str]) -> Self {
        let mut command = world.command(arguments);
        let mut child = command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("http://"), "{line}");
        Self { child, url: line.trim_end().to_owned() }
    }

    /// Ends it, and says what it said.
    pub(crate) fn end(mut self) -> String {
        let _ = self.child.kill();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
