//! The recipe that a project begins with.

use std::fmt::Write;

use super::look::{Kind, Project, own_architecture};

/// A recipe for a project.
pub(super) struct Draft<'a> {
    project: &'a Project,
    architecture: &'static str,
    /// What goes in.
    content: Content,
}

enum Content {
    /// A program, which is there or will be.
    Program { file: String, is_there: bool },
    /// The folder `dist`.
    Folder,
    /// Nothing that can be seen.
    Nothing,
}

impl<'a> Draft<'a> {
    pub(super) fn new(project: &'a Project) -> Self {
        let name = &project.name;
        let built = |file: String| Content::Program { file, is_there: false };
        let program = project.program().and_then(|program| Some((program.path.to_str()?, program.architecture)));
        let content = match (program, project.kind) {
            (Some((path, _)), _) => Content::Program { file: path.to_owned(), is_there: true },
            (None, Some(Kind::Cargo)) => built(format!("target/release/{name}")),
            (None, Some(Kind::Go)) => built(format!("bin/{name}")),
            (None, Some(Kind::Node | Kind::Python)) if project.has_dist => Content::Folder,
            (None, _) => Content::Nothing,
        };
        let architecture = program.map_or_else(own_architecture, |(_, architecture)| architecture);
        Self { project, architecture, content }
    }

    /// What goes into which base.
    pub(super) fn summary(&self) -> String {
        let what = match &self.content {
            Content::Program { file, .. } => format!("{file} goes"),
            Content::Folder => "dist goes".to_owned(),
            Content::Nothing => "a text goes".to_owned(),
        };
        format!("{what} into ubuntu:24.04 for {}", self.architecture)
    }

    /// What to type next, where `build` builds the image.
    pub(super) fn next(&self, build: &str) -> String {
        let make = match (&self.content, self.project.kind) {
            (Content::Program { is_there: false, .. }, Some(Kind::Cargo)) => "cargo build --release",
            (Content::Program { is_there: false, file }, Some(Kind::Go)) => {
                return format!("go build -o {file} && {build}");
            }
            _ => return build.to_owned(),
        };
        format!("{make} && {build}")
    }

    pub(super) fn text(&self) -> String {
        let (name, architecture) = (&self.project.name, self.architecture);
        let mut text = format!(
            "\
# A stock Ubuntu server with {name} in it. `imgraft build` makes it, `imgraft build --dry-run` says what that would
# change, and `imgraft build --help` and docs/verbs.md list what a recipe can do.

output = \"{name}-ubuntu-24.04.img\"
# size = \"+2G\"       # this much more room than the base has
# network = true     # commands in the guest may use this machine's network: `install` needs it

[base]
name = \"ubuntu:24.04\"
arch = \"{architecture}\"
variant = \"server\"
"
        );
        let _ = match &self.content {
            Content::Program { file, .. } => write!(
                text,
                "
[inputs.{name}]
about = \"the program, built for {architecture}\"
file = {file}              # another one: imgraft build --input {name}=PATH

[[step]]
put = \"{name}\"
to = \"/usr/local/bin/{name}\"
mode = \"0755\"
",
                file = quoted(file)
            ),
            Content::Folder => write!(
                text,
                "
[inputs.{name}]
about = \"what was built\"
file = \"dist\"              # another one: imgraft build --input {name}=PATH

[[step]]
put = \"{name}\"
to = \"/opt/{name}\"
"
            ),
            Content::Nothing => write!(
                text,
                "
[[step]]
write = \"/etc/motd\"
text = \"{name}\\n\"

# A program that goes in, which is given with `imgraft build --input {name}=PATH`:
#
# [inputs.{name}]
# about = \"the program, built for {architecture}\"
#
# [[step]]
# put = \"{name}\"
# to = \"/usr/local/bin/{name}\"
# mode = \"0755\"
"
            ),
        };
        let package = match self.project.kind {
            Some(Kind::Node) => "nodejs",
            Some(Kind::Python) => "python3-venv",
            _ => "jq",
        };
        let _ = write!(
            text,
            "
# More steps, which are carried out in this order. Commands run with the guest's own programs.
#
# [[step]]
# install = [\"{package}\"]
#
# [[step]]
# write = \"/etc/systemd/system/{name}.service\"
# text = \"\"\"
# [Service]
# ExecStart=/usr/local/bin/{name}
# [Install]
# WantedBy=multi-user.target
# \"\"\"
#
# [[step]]
# run = \"systemctl enable {name}\"

# The build ends with an error if the image has lost one of them.
[keep]
packages = [\"cloud-init\", \"openssh-server\"]

# What `imgraft test {name}-ubuntu-24.04.img --recipe imgraft.toml` looks at after the first boot.
[boot]
services = [\"cloud-final\", \"ssh\"]
#
# [[boot.command]]
# run = \"{name} --version\"
"
        );
        text
    }
}

/// `text` as a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
