//! The terminal's modes: those that it was found with, and those that a guest may have left on it.

use std::io::{self, IsTerminal};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// What a terminal is told after a guest: firmware switches the wrap of lines off, programs hide the cursor, take the
/// other screen, part of this one, the mouse or the keypad, and set colours, and whoever is stopped sets none of it back.
///
/// What would move the cursor, stands between saving it and having it back.
const RESET: &[u8] = b"\x1b7\x1b[?1049l\x1b8\x1b7\x1b[r\x1b8\
    \x1b[?6l\x1b[?7h\x1b[?25h\x1b[?1l\x1b>\x1b[4l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b(B\x0f\x1b[0m";

/// A terminal's modes.
#[derive(Clone, Debug)]
pub(crate) struct TerminalModes {
    /// Of the terminal that is typed on, where there is one.
    input: Option<Termios>,
}

/// There is one terminal.
impl PartialEq for TerminalModes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for TerminalModes {}

impl TerminalModes {
    /// The modes now; nothing if standard output is not a terminal.
    pub(crate) fn of_stdout() -> Option<Self> {
        io::stdout().is_terminal().then(|| Self { input: tcgetattr(io::stdin()).ok() })
    }

    /// Sets them back. Nothing can be done about a terminal that does not take them.
    pub(crate) fn restore(&self) {
        if let Some(modes) = &self.input
            && tcgetattr(io::stdin()).is_ok_and(|now| !is_same(&now, modes))
        {
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, modes);
        }
        // Not through `Stdout`, which whoever was interrupted may hold.
        let _ = rustix::io::write(io::stdout(), RESET);
    }
}

/// Whether nothing has to be set: a program in the background would be stopped for setting it.
fn is_same(now: &Termios, modes: &Termios) -> bool {
    (now.input_modes, now.output_modes, now.control_modes, now.local_modes)
        == (modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes)
}
