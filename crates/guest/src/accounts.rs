//! The guest's users and groups, from `/etc/passwd` and `/etc/group`.

use std::collections::BTreeMap;

/// The number of the user or group `name`. `text` is that of `/etc/passwd` or `/etc/group`: in both, the name is the
/// first field of a line and the number is the third.
pub(crate) fn number_of(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// The names of all users or groups in `text`, by their numbers. If a number has several names, the first one counts.
pub(crate) fn names(text: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(number))) = (fields.next(), fields.nth(1).map(str::parse)) {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// A user of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The home directory, as it is written there.
    pub home: String,
    /// The program that a login starts; empty for `/bin/sh`.
    pub shell: String,
}

/// The users in `text`, that of `/etc/passwd`, in its order. Lines that have too few fields are left out.
pub(crate) fn accounts(text: &str) -> Vec<Account> {
    let account = |line: &str| {
        let fields: Vec<&str> = line.splitn(7, ':').collect();
        let &[name, _, uid, _, _, home, shell] = &fields[..] else { return None };
        let uid = uid.parse().ok()?;
        Some(Account { name: name.to_owned(), uid, home: home.to_owned(), shell: shell.trim_end().to_owned() })
    };
    text.lines().filter_map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_guest() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n+nis\nwww-data:x:33:33::/:/x\nbroken:x:many:0::/:\n";
        assert_eq!(number_of(passwd, "root"), Some(0));
        assert_eq!(number_of(passwd, "www-data"), Some(33));
        assert_eq!(number_of(passwd, "www"), None);
        assert_eq!(number_of(passwd, "broken"), None);
        assert_eq!(number_of("adm:x:4:syslog\n", "adm"), Some(4));
        assert_eq!(names(passwd), BTreeMap::from([(0, "root".to_owned()), (33, "www-data".to_owned())]));
    }

    #[test]
    fn an_account_has_a_home_and_a_shell() {
        let accounts = accounts("root:x:0:0:root:/root:/bin/bash\nshort:x:1\nada:x:1000:1000:A:/home/ada:\n:::\n");
        let [root, ada] = &accounts[..] else { panic!("{accounts:?}") };
        assert_eq!(
            (root.name.as_str(), root.uid, root.home.as_str(), root.shell.as_str()),
            ("root", 0, "/root", "/bin/bash")
        );
        assert_eq!((ada.name.as_str(), ada.uid, ada.home.as_str(), ada.shell.as_str()), ("ada", 1000, "/home/ada", ""));
    }
}
