//! What messages have in common: names that were meant, lists, counts and dates.

use time::OffsetDateTime;

/// How many letters of a name may be wrong.
const MAX_DISTANCE: usize = 3;
/// The longest name that is compared, in bytes: a comparison takes time in proportion to it.
const MAX_NAME_BYTES: usize = 256;

/// The name of `known` that `name` was probably meant to be. Case, `-`, `_`, blanks and a plural make no difference.
pub fn nearest<'name>(name: &str, known: impl IntoIterator<Item = &'name str>) -> Option<&'name str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let wanted = plain(name);
    let limit = (wanted.chars().count() / 3).clamp(1, MAX_DISTANCE);
    let is_plural = |one: &str, other: &str| other.strip_prefix(one).is_some_and(|rest| rest == "s" || rest == "es");
    let distance = |known: &str| {
        let known = plain(known);
        match is_plural(&wanted, &known) || is_plural(&known, &wanted) {
            true => 0,
            false => strsim::damerau_levenshtein(&wanted, &known),
        }
    };
    let known = known.into_iter().map(|known| (distance(known), known));
    known.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// `` did you mean `…`? ``, if `name` is near a name of `known`.
pub fn did_you_mean<'name>(name: &str, known: impl IntoIterator<Item = &'name str>) -> Option<String> {
    nearest(name, known).map(|nearest| format!("did you mean `{nearest}`?"))
}

/// `` `a`, `b` and `c` ``, where `last` is `and`.
pub fn quoted_list(names: impl IntoIterator<Item = impl AsRef<str>>, last: &str) -> String {
    list(names.into_iter().map(|name| format!("`{}`", name.as_ref())), last)
}

/// `a, b and c`, where `last` is `and`.
pub fn list(texts: impl IntoIterator<Item = impl AsRef<str>>, last: &str) -> String {
    let texts: Vec<_> = texts.into_iter().collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    match &texts[..] {
        [before @ .., end] if !before.is_empty() => format!("{} {last} {end}", before.join(", ")),
        texts => texts.concat(),
    }
}

/// `1 file`, `2 files`; nothing for zero.
pub fn count(number: u64, one: &str, many: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    }
}

/// `2024-04-23 18:05` in UTC; the seconds themselves if they are not within the years -9999 to 9999.
pub fn minutes(seconds_since_1970: i64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(seconds_since_1970) else {
        return seconds_since_1970.to_string();
    };
    let (year, month, day) = moment.to_calendar_date();
    format!("{year:04}-{:02}-{day:02} {:02}:{:02}", u8::from(month), moment.hour(), moment.minute())
}

/// `2024-04-23` in UTC.
pub fn day(seconds_since_1970: i64) -> String {
    let minutes = minutes(seconds_since_1970);
    minutes.split(' ').next().unwrap_or(&minutes).to_owned()
}

/// `2024-04-23T18:05:09Z`, as RFC 3339 has it.
pub fn rfc3339(seconds_since_1970: i64) -> String {
    let second = seconds_since_1970.rem_euclid(60);
    format!("{}:{second:02}Z", minutes(seconds_since_1970).replace(' ', "T"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_others_not() {
        let known = ["package_update", "packages", "runcmd", "users", "hostname"];
        let nearest = |name: &str| nearest(name, known);
        assert_eq!(nearest("package"), Some("packages"));
        assert_eq!(nearest("run_cmd"), Some("runcmd"));
        assert_eq!(nearest("user"), Some("users"));
        assert_eq!(nearest("PackageUpdate"), Some("package_update"));
        assert_eq!(nearest("zzz"), None);
        assert_eq!(nearest("timezone"), None);
        assert_eq!(nearest(&"packages".repeat(99)), None);
    }

    #[test]
    fn lists_and_counts_are_as_people_write_them() {
        assert_eq!(quoted_list(["a", "b", "c"], "or"), "`a`, `b` or `c`");
        assert_eq!(list(["a"], "or"), "a");
        assert_eq!(list([""; 0], "or"), "");
        let counts = [0, 1, 2].map(|number| count(number, "file", "files"));
        assert_eq!(counts, [None, Some("1 file".to_owned()), Some("2 files".to_owned())]);
    }

    #[test]
    fn dates_are_the_gregorian_calendars() {
        // As `date -u -d @SECONDS +%FT%TZ` has them.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_785_018_847, "2026-07-25T22:34:07Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
        assert_eq!(minutes(1_713_895_509), "2024-04-23 18:05");
        assert_eq!(day(1_713_895_509), "2024-04-23");
    }
}
