//! What is looked for by its name: one line of the table a kind of trace.

/// How a trace is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// The file, or the directory with all that is in it, is removed.
    Remove,
    /// The content is overwritten, and the file removed: it is a secret.
    Scrub,
    /// The file is made empty.
    Empty,
    /// Others than its owner and group lose the right to write to it.
    NotForAll,
    /// It is given to root.
    ToRoot,
}

/// A kind of trace.
#[derive(Debug)]
pub(super) struct Rule {
    /// The code of its findings.
    pub(super) code: &'static str,
    /// What is said of a single path, after it.
    pub(super) one: &'static str,
    /// What is said of several: a noun, and what about it.
    pub(super) many: &'static str,
    /// How it is mended.
    pub(super) mend: Option<Mend>,
    /// Patterns of paths; `~` is each user's home.
    pub(super) patterns: &'static [&'static str],
}

/// What is looked for by its name, in this order. Only what is not empty counts.
pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ssh-host-key",
        one: "is a host key of SSH, which every machine made of the image would have",
        many: "host keys of SSH, which every machine made of the image would have",
        mend: Some(Mend::Scrub),
        patterns: &["/etc/ssh/ssh_host_*", "/etc/dropbear/dropbear_*_host_key"],
    },
    Rule {
        code: "random-seed",
        one: "is a random seed, which every machine made of the image would begin with",
        many: "random seeds, which every machine made of the image would begin with",
        mend: Some(Mend::Scrub),
        patterns: &[
            "/var/lib/systemd/random-seed",
            "/var/lib/systemd/credential.secret",
            "/var/lib/urandom/random-seed",
            "/var/lib/misc/random-seed",
            "/var/lib/random-seed",
            "/var/lib/seedrng/seed.*",
            "/boot/efi/loader/random-seed",
            "/boot/loader/random-seed",
            "/efi/loader/random-seed",
        ],
    },
    Rule {
        code: "shell-history",
        one: "has what somebody typed",
        many: "histories of what somebody typed",
        mend: Some(Mend::Scrub),
        patterns: &[
            "~/.bash_history",
            "~/.zsh_history",
            "~/.ash_history",
            "~/.sh_history",
            "~/.history",
            "~/.local/share/fish/fish_history",
            "~/.python_history",
            "~/.node_repl_history",
            "~/.mysql_history",
            "~/.psql_history",
            "~/.sqlite_history",
            "~/.rediscli_history",
            "~/.lesshst",
            "~/.viminfo",
            "~/.wget-hsts",
        ],
    },
    Rule {
        code: "cloud-init-state",
        one: "is what cloud-init remembers of a boot: it would take the next one for the same machine's, or keep its \
              settings",
        many: "files and directories that cloud-init remembers a boot by: it would take the next one for the same \
               machine's, or keep its settings",
        mend: Some(Mend::Remove),
        patterns: &[
            "/var/lib/cloud/instance",
            "/var/lib/cloud/instances/*",
            "/var/lib/cloud/data/*",
            "/var/lib/cloud/sem/*",
            "/etc/netplan/50-cloud-init.yaml",
            "/etc/network/interfaces.d/50-cloud-init*",
            "/etc/systemd/network/*-cloud-init-*",
            "/etc/NetworkManager/system-connections/cloud-init-*",
            "/etc/ssh/sshd_config.d/50-cloud-init.conf",
        ],
    },
    Rule {
        code: "network-state",
        one: "is of one machine's network: its address or the names of its cards",
        many: "files of one machine's network: its addresses or the names of its cards",
        mend: Some(Mend::Remove),
        patterns: &[
            "/etc/udev/rules.d/70-persistent-net.rules",
            "/var/lib/dhcp/*.lease*",
            "/var/lib/dhclient/*",
            "/var/lib/dhcpcd/*",
            "/var/lib/NetworkManager/*.lease",
            "/var/lib/NetworkManager/secret_key",
            "/var/lib/NetworkManager/timestamps",
        ],
    },
    Rule {
        code: "journal",
        one: "is a journal of systemd, from a machine that ran",
        many: "journals of systemd, from machines that ran",
        mend: Some(Mend::Remove),
        patterns: &["/var/log/journal/*"],
    },
    Rule {
        code: "crash",
        one: "is left of a program that crashed",
        many: "files that are left of programs that crashed",
        mend: Some(Mend::Remove),
        patterns: &["/var/crash/*", "/var/spool/abrt/*", "/var/lib/systemd/coredump/*"],
    },
    Rule {
        code: "package-cache",
        one: "is a package manager's cache, which it fetches again when it needs it",
        many: "caches of a package manager, which it fetches again when it needs them",
        mend: Some(Mend::Remove),
        patterns: &[
            "/var/cache/apt/archives/*.deb",
            "/var/cache/apt/archives/partial/*",
            "/var/cache/apt/*.bin",
            "/var/lib/apt/lists/*_*",
            "/var/lib/apt/lists/partial/*",
            "/var/lib/apt/lists/auxfiles/*",
            "/var/cache/dnf/*",
            "/var/cache/libdnf5/*",
            "/var/cache/yum/*",
            "/var/cache/zypp/*",
            "/var/cache/apk/*",
            "/var/cache/pacman/pkg/*",
        ],
    },
    Rule {
        code: "temporary-file",
        one: "is a temporary file",
        many: "temporary files",
        mend: Some(Mend::Remove),
        patterns: &["/tmp/*", "/tmp/.*", "/var/tmp/*", "/var/tmp/.*"],
    },
    Rule {
        code: "mail",
        one: "is a user's mail",
        many: "mailboxes of users",
        mend: Some(Mend::Remove),
        patterns: &["/var/mail/*", "/var/spool/mail/*"],
    },
    Rule {
        code: "account-backup",
        one: "is what the lists of users or groups were before, perhaps with a password's hash",
        many: "backups of the lists of users and groups, perhaps with a password's hash",
        mend: Some(Mend::Scrub),
        patterns: &["/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-"],
    },
];

/// The guest's identity. An empty file, or one that says so, has none.
pub(super) const MACHINE_ID: Rule = Rule {
    code: "machine-id",
    one: "has the id of one machine, which every machine made of the image would have",
    many: "files with the id of one machine, which every machine made of the image would have",
    mend: Some(Mend::Empty),
    patterns: &[],
};

/// The other place of it, which is made anew if it is not there.
pub(super) const DBUS_MACHINE_ID: Rule = Rule { mend: Some(Mend::Remove), ..MACHINE_ID };

/// Logs that are written on.
pub(super) const LOG: Rule = Rule {
    code: "log",
    one: "is a log from before the image's first boot",
    many: "logs from before the image's first boot",
    mend: Some(Mend::Empty),
    patterns: &[],
};

/// Logs that were put aside.
pub(super) const OLD_LOG: Rule = Rule { mend: Some(Mend::Remove), ..LOG };

/// What anybody may replace, that root runs.
pub(super) const WORLD_WRITABLE: Rule = Rule {
    code: "world-writable",
    one: "is on the path, and everybody may write to it",
    many: "programs on the path that everybody may write to",
    mend: Some(Mend::NotForAll),
    patterns: &[],
};

/// What one user may replace, that root runs.
pub(super) const ORDINARY_OWNER: Rule = Rule {
    code: "ordinary-owner",
    one: "is on the path, and belongs to an ordinary user",
    many: "programs on the path that belong to ordinary users",
    mend: Some(Mend::ToRoot),
    patterns: &[],
};

/// A user that a stock image does not have.
pub(super) const ACCOUNT: Rule = Rule {
    code: "account",
    one: "has an account of an ordinary user",
    many: "accounts of ordinary users",
    mend: None,
    patterns: &[],
};

/// A file system of a machine that ran, or runs.
pub(super) const DIRTY_JOURNAL: Rule = Rule {
    code: "dirty-journal",
    one: "was not shut down cleanly",
    many: "file systems that were not shut down cleanly",
    mend: None,
    patterns: &[],
};

/// What could not be looked at.
pub(super) const UNREADABLE: Rule = Rule {
    code: "unreadable",
    one: "could not be looked at",
    many: "places that could not be looked at",
    mend: None,
    patterns: &[],
};
