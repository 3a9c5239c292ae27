//! Commands: how YAML reads them, and those that wait for an answer.

use crate::check::finding::{Finding, Findings};
use crate::yaml::{Node, Value};

/// The commands of `apt` that ask before they continue.
const ASKING: [&str; 7] = ["install", "remove", "purge", "upgrade", "dist-upgrade", "full-upgrade", "autoremove"];

pub(super) fn check(root: &Node, findings: &mut Findings<'_>) {
    for key in ["runcmd", "bootcmd"] {
        for command in root.get(key).and_then(Node::items).unwrap_or_default() {
            one(key, command, findings);
        }
    }
}

fn one(key: &str, command: &Node, findings: &mut Findings<'_>) {
    let words: Vec<&str> = match &command.value {
        Value::String(text) => text.split_whitespace().collect(),
        Value::Sequence(items) => items.iter().filter_map(Node::as_str).collect(),
        Value::Null => {
            findings.push(Finding::note("command", "this command is empty", command.span.clone()));
            return;
        }
        _ => return,
    };
    let span = if command.span.len() > 200 { command.span.start..command.span.start } else { command.span.clone() };
    if asks(&words) {
        let message = "this command waits for an answer, but nobody is there to give it";
        findings.push(Finding::warning("asks", message, span).hint("add `-y`, or use `packages`"));
    } else if matches!(words[..], ["reboot" | "poweroff" | "halt"] | ["shutdown", ..]) && key == "runcmd" {
        let message = "this stops cloud-init before it has finished";
        findings
            .push(Finding::note("command", message, span).hint("`power_state` does it after cloud-init has finished"));
    } else if let (Value::Sequence(items), [first]) = (&command.value, &words[..])
        && items.len() == 1
        && first.contains(' ')
    {
        let message = "this is a list with one item: the guest looks for a program with this name";
        findings.push(Finding::warning("command", message, span).hint("remove the brackets to have a shell run it"));
    }
}

/// Whether this makes `apt` or `apt-get` change something without an option that answers its question.
fn asks(words: &[&str]) -> bool {
    let commands = words.split(|word| matches!(*word, "&&" | "||" | ";" | "|"));
    commands.into_iter().any(|words| {
        let is_apt = |word: &&str| matches!(word.rsplit('/').next(), Some("apt" | "apt-get"));
        let Some(apt) = words.iter().position(is_apt) else { return false };
        let words = &words[apt + 1..];
        words.iter().any(|word| ASKING.contains(word)) && !words.iter().any(|word| is_yes(word))
    })
}

fn is_yes(word: &str) -> bool {
    let short = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
    matches!(word, "--yes" | "--assume-yes" | "--quiet=2")
        || short.is_some_and(|rest| rest.contains('y') || rest.contains("qq"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_asks_unless_it_is_told() {
        let asks = |text: &str| asks(&text.split_whitespace().collect::<Vec<_>>());
        assert!(asks("apt-get install nginx") && asks("sudo apt upgrade") && asks("apt update && apt install x"));
        assert!(!asks("apt-get -y install nginx") && !asks("apt-get install -qqy x") && !asks("apt update"));
        assert!(!asks("echo install") && !asks("apt-get --yes install x"));
    }
}
