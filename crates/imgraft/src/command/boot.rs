//! `imgraft boot`: an image in QEMU, with its console on this terminal.

use std::time::Duration;

use vm::{Console, Error, Running, What};

use crate::cli::boot::Boot;
use crate::failure::Failure;
use crate::interrupt::{LeftoverProcess, LeftoverTerminal};
use crate::machine::{MachineFolder, Plan, Ssh, Subject, Use, not_installed};
use crate::show::{Messages, print};

pub(super) fn run(arguments: &Boot, messages: &Messages) -> Result<(), Failure> {
    let unstarted = |failure: Failure| failure.within(format!("`{}` was not started", arguments.image.display()));
    let purpose = if arguments.persist { Use::Persist } else { Use::Throwaway };
    // What is only printed changes nothing now.
    let looked = if arguments.print_command { Use::Throwaway } else { purpose };
    let subject = Subject::open(&arguments.image, looked, arguments.backing, messages)?;
    let mut folder = match &arguments.keep {
        Some(path) => MachineFolder::kept(path)?,
        None => MachineFolder::private()?,
    };
    let mut plan = Plan::new(&subject, &arguments.machine, !arguments.print_command).map_err(unstarted)?;
    plan.machine.console = Console::Terminal;
    plan.add_image(&subject, arguments.persist);
    plan.add_seed(&arguments.seed, &arguments.content, &mut folder, messages).map_err(unstarted)?;
    plan.add_kernel(&subject, &arguments.machine, &mut folder).map_err(unstarted)?;
    let ssh = plan.add_network(&arguments.machine).map_err(unstarted)?;
    let user = arguments.content.users.first().cloned().or_else(|| subject.user());
    plan.reasons.push(fate(purpose));
    let ssh = ssh.map(|ssh: Ssh| ssh.command(user.as_deref().unwrap_or("USER")));
    plan.reasons.extend(ssh.as_ref().map(|ssh| format!("ssh          {ssh}")));
    if arguments.print_command {
        if folder.is_lost() {
            folder.keep();
            plan.reasons.push(format!(
                "files        in `{}`, and stay there: the line needs them; `--keep FOLDER` names another folder",
                folder.path().display()
            ));
        }
        plan.say(messages);
        return print(&format!("{}\n", plan.machine.command_line(None)));
    }
    plan.say(messages);
    messages.note("console      here; Ctrl-A x ends the machine");
    // QEMU locks the image itself.
    drop(subject);
    let sockets = MachineFolder::private()?;
    let start = || {
        vm::start(&plan.machine, sockets.path()).map(|running| {
            let process = running.process_id();
            (running, process)
        })
    };
    // What the guest does to the terminal is undone after everything else, whichever way this ends.
    let modes = LeftoverTerminal::keep();
    let (mut running, process) = LeftoverProcess::start(start).map_err(|error| unstarted(explain(&error)))?;
    watch(&running, messages);
    let status = running.wait().map_err(|error| Failure::of(&error))?;
    drop(process);
    drop(modes);
    if let Some(ssh) = ssh {
        messages.note(format_args!("the machine has ended; the way in while it runs: {ssh}"));
    }
    if !status.success() {
        return Err(Failure::new(format!("QEMU ended with {status}")).causes(lines(&running.stderr())));
    }
    for line in lines(&running.stderr()) {
        messages.detail(line);
    }
    Ok(())
}

/// Waits until QEMU ends, and says what the guest cannot.
fn watch(running: &Running, messages: &Messages) {
    let mut has_said = false;
    loop {
        match running.next(Duration::MAX).map(|occurrence| occurrence.what) {
            // QEMU stops the machine then, which looks like one that hangs.
            Some(What::Event { name, data }) if name == "BLOCK_IO_ERROR" && data["nospace"] == true && !has_said => {
                has_said = true;
                messages.warning(
                    "no space is left for what the guest writes, in TMPDIR or /var/tmp, and the machine waits: make \
                     room, then type Ctrl-A c, `cont`, and Ctrl-A c again\r",
                );
            }
            Some(What::MonitorClosed) | None => return,
            Some(_) => {}
        }
    }
}

/// What becomes of what the guest writes.
fn fate(purpose: Use) -> String {
    match purpose {
        Use::Throwaway => "image        stays as it is; `--persist` lets the guest change it".to_owned(),
        Use::Persist => "image        is changed by the guest".to_owned(),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Why QEMU did not start, and what to do about it.
pub(super) fn explain(error: &Error) -> Failure {
    let failure = Failure::of(error);
    match error {
        Error::NotInstalled { architecture } => not_installed(*architecture),
        Error::Ended { stderr, .. } if stderr.contains("host forwarding rule") => failure
            .hint("another program has taken the port meanwhile: start it again, or name a port with `--forward`"),
        Error::Ended { stderr, .. } if stderr.contains("\" lock") => {
            failure.hint("another QEMU uses the image, or a file under it: end it, or work on a copy")
        }
        Error::Ended { stderr, .. } if stderr.contains("No space left") => failure
            .hint("QEMU keeps what the guest writes in TMPDIR, or /var/tmp: make room there, or name another folder"),
        _ => failure,
    }
}
