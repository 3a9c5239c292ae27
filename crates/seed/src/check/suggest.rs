//! Lists of names, and the one that was meant.

/// How much of a name may be wrong.
const MAX_DISTANCE: usize = 3;
/// The longest name that may be meant for another one, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// `did you mean …?`, if one of `known` is near.
pub(crate) fn did_you_mean<'name>(name: &str, known: impl Iterator<Item = &'name str>) -> Option<String> {
    nearest(name, known).map(|nearest| format!("did you mean `{nearest}`?"))
}

/// The one of `known` that is near.
pub(crate) fn nearest<'name>(name: &str, known: impl Iterator<Item = &'name str>) -> Option<&'name str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    // What is much longer than any name is none of them, and the distance costs as much as it is long.
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let wanted = plain(name);
    let limit = (wanted.chars().count() / 3).clamp(1, MAX_DISTANCE);
    let distance = |known: &str| {
        let known = plain(known);
        let is_plural =
            |one: &str, other: &str| other.strip_prefix(one).is_some_and(|rest| rest == "s" || rest == "es");
        match is_plural(&wanted, &known) || is_plural(&known, &wanted) {
            true => 0,
            false => strsim::damerau_levenshtein(&wanted, &known),
        }
    };
    known.map(|known| (distance(known), known)).filter(|(distance, _)| *distance <= limit).min().map(|(_, known)| known)
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn list(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    join(&quoted.iter().map(String::as_str).collect::<Vec<_>>(), last)
}

/// `a, b and c`.
pub(crate) fn join(texts: &[&str], last: &str) -> String {
    match texts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [before @ .., end] => format!("{} {last} {end}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_others_not() {
        let known = ["package_update", "packages", "runcmd", "users", "hostname"];
        let nearest = |name| nearest(name, known.into_iter());
        assert_eq!(nearest("package"), Some("packages"));
        assert_eq!(nearest("run_cmd"), Some("runcmd"));
        assert_eq!(nearest("user"), Some("users"));
        assert_eq!(nearest("PackageUpdate"), Some("package_update"));
        assert_eq!(nearest("zzz"), None);
        assert_eq!(nearest("timezone"), None);
        assert_eq!(list(&["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
