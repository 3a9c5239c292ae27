//! What commands in the guest write, as it is shown: below the step's name.

use customize::Lines;

/// The command in the guest that writes something now, if there is one.
#[derive(Default)]
pub(crate) struct Output(Option<Speaker>);

struct Speaker {
    step: String,
    lines: Lines,
}

impl Output {
    /// A command of `step` wrote `bytes`. Each line that is to be shown goes to `say`. Returns whether the command has
    /// only begun.
    pub(crate) fn take(&mut self, step: &str, bytes: &[u8], say: &mut dyn FnMut(&str)) -> bool {
        let begins = self.0.as_ref().is_none_or(|speaker| speaker.step != step);
        if begins {
            self.end(say);
            say(&format!("{step}:"));
        }
        let speaker = self.0.get_or_insert_with(|| Speaker { step: step.to_owned(), lines: Lines::default() });
        speaker.lines.take(bytes, &mut |line| say(&format!("  {line}")));
        begins
    }

    /// The command has ended.
    pub(crate) fn end(&mut self, say: &mut dyn FnMut(&str)) {
        if let Some(rest) = self.0.take().and_then(|mut speaker| speaker.lines.rest()) {
            say(&format!("  {rest}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_below_the_name_of_their_step() {
        let mut said = Vec::new();
        let mut output = Output::default();
        let mut say = |line: &str| said.push(line.to_owned());
        assert!(output.take("run make", b"", &mut say));
        assert!(!output.take("run make", b"one\ntw", &mut say));
        assert!(!output.take("run make", b"o\nthree", &mut say));
        // Another one begins, and then the same one again.
        assert!(output.take("run ls", b"a\n", &mut say));
        output.end(&mut say);
        assert!(output.take("run ls", b"b\n", &mut say));
        output.end(&mut say);
        output.end(&mut say);
        assert_eq!(said, ["run make:", "  one", "  two", "  three", "run ls:", "  a", "run ls:", "  b"]);
    }
}
