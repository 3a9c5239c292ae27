//! A cloud-config made from flags, so that nobody has to write the common ones.

use std::fmt::Write;

/// What a cloud-config begins with.
const HEADER: &str = "#cloud-config\n";
/// The image's stock user, which a list of users would otherwise remove.
const STOCK_USER: &str = "default";
/// The groups of Ubuntu's stock user; cloud-init creates those that a guest does not have.
const GROUPS: &str = "adm, cdrom, dip, lxd, sudo";
const SUDO: &str = "ALL=(ALL) NOPASSWD:ALL";
const SHELL: &str = "/bin/bash";

/// `user-data`: what the guest's user wants. What is empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserData {
    /// Users besides the stock user, each like that one: with `sudo` and without a password.
    pub users: Vec<String>,
    /// SSH keys for these users, or for the stock user if there are none.
    pub ssh_authorized_keys: Vec<String>,
    /// Packages to install.
    pub packages: Vec<String>,
    /// Commands for the shell, late in the first boot, as root.
    pub commands: Vec<String>,
    /// The time zone, such as `Europe/Berlin`.
    pub timezone: Option<String>,
}

impl UserData {
    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The cloud-config. Every text is in quotes, so that none can be read as anything else.
    pub fn to_cloud_config(&self) -> Vec<u8> {
        let mut config = HEADER.to_owned();
        if let Some(timezone) = &self.timezone {
            line(&mut config, &format!("timezone: {}", quoted(timezone)));
        }
        if !self.users.is_empty() {
            line(&mut config, "users:");
            line(&mut config, &format!("  - {}", quoted(STOCK_USER)));
            for name in &self.users {
                self.push_user(&mut config, name);
            }
        }
        let stock_keys: &[String] = if self.users.is_empty() { &self.ssh_authorized_keys } else { &[] };
        for (key, items) in
            [("ssh_authorized_keys", stock_keys), ("packages", &self.packages), ("runcmd", &self.commands)]
        {
            push_list(&mut config, "", key, items);
        }
        if config == HEADER {
            // An empty document would be no map.
            line(&mut config, "{}");
        }
        config.into_bytes()
    }

    fn push_user(&self, config: &mut String, name: &str) {
        line(config, &format!("  - name: {}", quoted(name)));
        for (key, value) in [("groups", GROUPS), ("sudo", SUDO), ("shell", SHELL)] {
            line(config, &format!("    {key}: {}", quoted(value)));
        }
        line(config, "    lock_passwd: true");
        push_list(config, "    ", "ssh_authorized_keys", &self.ssh_authorized_keys);
    }
}

fn line(config: &mut String, text: &str) {
    config.push_str(text);
    config.push('\n');
}

fn push_list(config: &mut String, indent: &str, key: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    line(config, &format!("{indent}{key}:"));
    for item in items {
        line(config, &format!("{indent}  - {}", quoted(item)));
    }
}

/// The text as a double-quoted scalar of YAML, on one line.
///
/// Escapes the characters that end it, that YAML does not allow, and that YAML folds or reads as a line's end.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\0'..=' ' | '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                if letter != ' ' =>
            {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::judge::judge;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn what_is_not_wanted_is_not_said() {
        assert_eq!(UserData::default().to_cloud_config(), b"#cloud-config\n{}\n");
        assert!(UserData::default().is_empty());
        let packages = UserData { packages: texts(&["git"]), ..UserData::default() };
        assert_eq!(packages.to_cloud_config(), b"#cloud-config\npackages:\n  - \"git\"\n");
    }

    #[test]
    fn keys_are_for_the_users_or_else_for_the_images_own() {
        let mut wanted = UserData { ssh_authorized_keys: texts(&["ssh-rsa A"]), ..UserData::default() };
        assert_eq!(wanted.to_cloud_config(), b"#cloud-config\nssh_authorized_keys:\n  - \"ssh-rsa A\"\n");
        wanted.users = texts(&["a", "b"]);
        let config = String::from_utf8(wanted.to_cloud_config()).unwrap();
        assert_eq!(config.matches("\n    ssh_authorized_keys:\n      - \"ssh-rsa A\"\n").count(), 2, "{config}");
        assert!(!config.contains("\nssh_authorized_keys"), "{config}");
    }

    /// PyYAML is what cloud-init reads it with.
    #[test]
    fn every_text_comes_out_as_it_went_in() {
        let mut commands = texts(&[
            "yes",
            "0644",
            "1:30",
            "~",
            "null",
            "",
            " ",
            "a: b",
            "- a",
            "# a",
            "a # b",
            "{}",
            "[",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "'",
            "\"",
            "\\",
            "\\n",
            "%",
            "@",
            "`",
            "2024-01-01",
            "1e3",
            ".inf",
            "0x1f",
            "=",
            "<<",
            "line\nline",
            "\r\n",
            "\t",
            "  two  ",
            "ö",
            "😀",
            "\u{85}\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}\u{a0}",
            "echo \"$HOME\" 'x' \\ && :",
        ]);
        commands.extend((0..0x180).filter_map(char::from_u32).map(|letter| format!("a{letter}b")));
        let folder = tempfile::tempdir().unwrap();
        let config = UserData { commands: commands.clone(), timezone: Some("no".to_owned()), ..UserData::default() };
        std::fs::write(folder.path().join("config"), config.to_cloud_config()).unwrap();
        let expected: Vec<Vec<u32>> = commands.iter().map(|command| command.chars().map(u32::from).collect()).collect();
        let program = "import sys, yaml; config = yaml.safe_load(open(sys.argv[1], 'rb')); \
                       print(config['timezone'], [[ord(letter) for letter in text] for text in config['runcmd']])";
        let read = judge("/usr/bin/python3").args(["-c", program]).arg(folder.path().join("config")).succeed();
        assert_eq!(read.stdout, format!("no {expected:?}\n"));
    }
}
