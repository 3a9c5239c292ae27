//! The words of other programs: virt-customize, Packer, mkosi, Docker and cloud-init. Whoever types one learns what it
//! is called in imgraft.

/// A word of another program, and what it is in imgraft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The words, in lower case and with `-`.
    words: &'static [&'static str],
    /// What they are in the other programs.
    whose: &'static str,
    /// What to do on the command line.
    flag: &'static str,
    /// What to do in a recipe; empty where it is the same.
    step: &'static str,
}

const WORDS: &[Elsewhere] = &[
    Elsewhere {
        words: &["run", "run-command", "shell", "inline", "script", "scripts", "exec", "provisioner", "provisioners"],
        whose: "a command or a script in the guest, as virt-customize, Packer and Docker run one",
        flag: "that is `--run COMMAND` of `imgraft build` and `imgraft customize`, or `--run-script FILE`; \
               `--first-boot-command COMMAND` has the guest do it when it first boots",
        step: "that is `run = \"COMMAND\"` or `run-script = INPUT` in a `[[step]]`; \
               `first-boot-command = \"COMMAND\"` has the guest do it when it first boots",
    },
    Elsewhere {
        words: &["postinst-script", "finalize-script", "build-script", "prepare-script", "postinstallationscripts"],
        whose: "a script of mkosi's",
        flag: "that is `--run-script FILE` here",
        step: "that is `run-script = INPUT` in a `[[step]]`",
    },
    Elsewhere {
        words: &["install", "package", "packages", "with-package", "apt", "dnf", "pkg"],
        whose: "packages, as virt-customize and mkosi install them",
        flag: "that is `--install PACKAGE,…` with `--network`, of `imgraft build` and `imgraft customize`",
        step: "that is `install = [\"PACKAGE\"]` in a `[[step]]`, with `network = true` at the top of the recipe",
    },
    Elsewhere {
        words: &["uninstall", "remove-package", "remove-packages", "update", "upgrade"],
        whose: "the guest's package manager, as virt-customize and mkosi run it",
        flag: "that is `--uninstall PACKAGE,…` or `--update` of `imgraft build` and `imgraft customize`",
        step: "that is `uninstall = [\"PACKAGE\"]` or `update = true` in a `[[step]]`",
    },
    Elsewhere {
        words: &["copy-in", "upload", "add-file", "file-provisioner", "extra-tree", "extra-trees", "skeleton-tree"],
        whose: "a file or a tree of the host that goes into the guest",
        flag: "that is `--put SRC:DEST` here; where DEST ends in `/`, SRC goes into it",
        step: "that is `put = INPUT` with `to = \"DEST\"` here; where DEST ends in `/`, the input goes into it",
    },
    Elsewhere {
        words: &["add"],
        whose: "an image in virt-customize, and a file that goes into the guest in Docker",
        flag: "the image is an argument without a flag, `imgraft customize IMAGE`; a file goes into it with \
               `--put SRC:DEST`, an archive with `--tar FILE:DIR`",
        step: "a file goes into the guest with `put = INPUT` and `to = \"DEST\"`, an archive with `tar = INPUT`",
    },
    Elsewhere {
        words: &["a"],
        whose: "the image in virt-customize",
        flag: "the image is an argument without a flag: `imgraft customize IMAGE`",
        step: "",
    },
    Elsewhere {
        words: &["copy-out", "download"],
        whose: "a file of the guest that goes to the host",
        flag: "that is a command here: `imgraft get IMAGE PATH`",
        step: "",
    },
    Elsewhere {
        words: &["tar-in", "tar-out", "unarchive"],
        whose: "an archive that is unpacked in the guest",
        flag: "that is `--tar FILE:DIR` here",
        step: "that is `tar = INPUT` with `to = \"DIR\"` here",
    },
    Elsewhere {
        words: &["firstboot", "run-at-first-boot", "bootcmd", "runcmd"],
        whose: "what a guest runs when it boots",
        flag: "that is `--first-boot FILE` or `--first-boot-command COMMAND` here",
        step: "that is `first-boot = INPUT` or `first-boot-command = \"COMMAND\"` here",
    },
    Elsewhere {
        words: &["firstboot-command"],
        whose: "a command for a guest's first boot in virt-customize",
        flag: "that is `--first-boot-command COMMAND` here",
        step: "that is `first-boot-command = \"COMMAND\"` here",
    },
    Elsewhere {
        words: &["firstboot-install"],
        whose: "packages for a guest's first boot in virt-customize",
        flag: "that is `--first-boot-install PACKAGE,…` here",
        step: "that is `first-boot-install = [\"PACKAGE\"]` here",
    },
    Elsewhere {
        words: &["root-password", "passwd", "chpasswd"],
        whose: "a password",
        flag: "that is `--password root:file:PATH` here, or `root:password:TEXT` if everybody on this machine may read \
               it",
        step: "that is `password = \"root\"` with `input`, `hash` or `text` here",
    },
    Elsewhere {
        words: &["ssh-inject", "ssh-authorized-keys", "authorized-keys"],
        whose: "an SSH key for a user",
        flag: "that is `--ssh-key USER:file:PATH` here",
        step: "that is `ssh-key = \"USER\"` with `input` or `key` here",
    },
    Elsewhere {
        words: &["write-files", "write-file", "create-file"],
        whose: "a file with a text",
        flag: "that is `--write PATH:TEXT` here",
        step: "that is `write = \"PATH\"` with `text` here",
    },
    Elsewhere {
        words: &["append-line", "lineinfile"],
        whose: "a line for a file",
        flag: "that is `--append PATH:LINE` here",
        step: "that is `append = \"PATH\"` with `line` here",
    },
    Elsewhere {
        words: &["edit", "sed"],
        whose: "an expression that a file is edited with",
        flag: "that is `--replace PATH:REGEX:TEXT` here",
        step: "that is `replace = \"PATH\"` with `regex` and `with` here",
    },
    Elsewhere {
        words: &["delete", "rm", "unlink", "remove-files"],
        whose: "a file that is removed",
        flag: "that is `--remove PATTERN` here",
        step: "that is `remove = \"PATTERN\"` here",
    },
    Elsewhere {
        words: &["mv", "rename"],
        whose: "a file that moves in the guest",
        flag: "that is `--move FROM:TO` here",
        step: "that is `move = \"FROM\"` with `to` here",
    },
    Elsewhere {
        words: &["cp"],
        whose: "a file of the guest that is copied there",
        flag: "that is `--copy FROM:TO` here; a file of the host goes into the guest with `--put SRC:DEST`",
        step: "that is `copy = \"FROM\"` with `to` here; a file of the host goes in with `put = INPUT`",
    },
    Elsewhere {
        words: &["ln", "symlink"],
        whose: "a symlink",
        flag: "that is `--link TARGET:LINK` here, and `--hardlink TARGET:LINK` for a hard link",
        step: "that is `link = \"LINK\"` with `target` here, and `hardlink = \"LINK\"` for a hard link",
    },
    Elsewhere {
        words: &["hard-link"],
        whose: "another name of a file",
        flag: "that is `--hardlink TARGET:LINK` here",
        step: "that is `hardlink = \"LINK\"` with `target` here",
    },
    Elsewhere {
        words: &["selinux-relabel"],
        whose: "labels for SELinux in virt-customize",
        flag: "that is `--relabel` here",
        step: "that is `relabel = true` here",
    },
    Elsewhere {
        words: &["no-selinux-relabel", "no-logfile", "memsize", "smp", "no-network", "machine-readable"],
        whose: "a setting of virt-customize's appliance",
        flag: "leave it out: imgraft runs no machine",
        step: "",
    },
    Elsewhere {
        words: &["commands-from-file"],
        whose: "a list of changes in virt-customize",
        flag: "that is a recipe here: `imgraft build RECIPE`",
        step: "",
    },
    Elsewhere {
        words: &["env", "cmd", "entrypoint", "expose", "workdir", "volume", "label"],
        whose: "a setting of a container in Docker",
        flag: "a machine has no such setting: write a systemd service, and put it into the guest with `--put` or \
               `--write`",
        step: "a machine has no such setting: write a systemd service, and put it into the guest with `put` or `write`",
    },
    Elsewhere {
        words: &["from", "source", "image", "iso-url", "source-image"],
        whose: "the image to begin with in Docker and Packer",
        flag: "that is `--base IMAGE` here",
        step: "that is `[base]` with `name` or `file` here",
    },
    Elsewhere {
        words: &["disk-size", "grow", "resize"],
        whose: "the size of the disk",
        flag: "that is `--size SIZE` here",
        step: "that is `size = \"10G\"` before the first `[…]` here",
    },
    Elsewhere {
        words: &["var", "var-file", "build-arg"],
        whose: "a value for a recipe in Packer and Docker",
        flag: "a file of a recipe is `--input NAME=PATH` here; recipes have no other variables",
        step: "",
    },
    Elsewhere {
        words: &["tag", "output-directory", "output-dir"],
        whose: "the name of the result",
        flag: "that is `-o IMAGE` here",
        step: "that is `output = \"IMAGE\"` here",
    },
    Elsewhere {
        words: &["dest", "destination"],
        whose: "where a file goes",
        flag: "that is the second part of `--put SRC:DEST` here",
        step: "that is `to = \"/path/in/the/guest\"` here",
    },
];

impl Elsewhere {
    /// Looks up `word`, which may be a flag with its dashes or a key of a recipe.
    pub fn find(word: &str) -> Option<&'static Self> {
        let word = word.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
        WORDS.iter().find(|elsewhere| elsewhere.words.contains(&&*word))
    }

    /// What the word is in other programs.
    pub fn whose(&self) -> &'static str {
        self.whose
    }

    /// What to do on the command line.
    pub fn as_flag(&self) -> &'static str {
        self.flag
    }

    /// What to do in a recipe.
    pub fn in_recipe(&self) -> &'static str {
        if self.step.is_empty() { self.flag } else { self.step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_word_is_there_once_and_can_be_found() {
        let mut words = BTreeSet::new();
        for elsewhere in WORDS {
            for word in elsewhere.words {
                assert!(words.insert(*word), "{word} is there twice");
                assert_eq!(Elsewhere::find(&format!("--{word}")), Some(elsewhere), "{word}");
            }
            assert!(!elsewhere.as_flag().ends_with('.') && !elsewhere.in_recipe().is_empty());
        }
        assert_eq!(Elsewhere::find("RUN"), Elsewhere::find("--run"));
        assert_eq!(Elsewhere::find("ssh_authorized_keys"), Elsewhere::find("--ssh-inject"));
        assert_eq!(Elsewhere::find("--putt"), None);
    }
}
