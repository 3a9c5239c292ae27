//! The numbers of the guest's users and groups, from `/etc/passwd` and `/etc/group`.

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
}
