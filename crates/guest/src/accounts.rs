//! `/etc/passwd` and `/etc/group`: names to numbers, as the guest has them.

/// The number that `name` has in the text of `/etc/passwd` (the user's) or `/etc/group` (the
/// group's): both have the name first and the number third.
pub(crate) fn number_of(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
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
    }
}
