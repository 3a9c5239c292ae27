//! A machine that boots, followed to the end of its first boot.

use std::path::Path;
use std::time::Duration;

use vm::{Machine, Occurrence, Running, What};

use crate::agent::{Agent, Found, Hello, Output, PORT, Silence};
use crate::examine::shortened;
use crate::follow::{Follower, Sign, Trouble};
use crate::progress::{Deeds, Limits, Progress};
use crate::stage::Stage;
use crate::verdict::{Check, Failure, StageTime};

/// How often the monitor is asked about the disks.
const MONITOR_INTERVAL: Duration = Duration::from_secs(2);
/// How long to wait for the console.
const SLICE: Duration = Duration::from_millis(200);
/// The parts of the limit without progress that are waited for cloud-init after a login prompt, and for the agent after
/// cloud-init's end.
const LOGIN_GRACE: u32 = 8;
const AGENT_GRACE: u32 = 4;
/// How many of the last lines a failure shows.
const LAST_LINES: usize = 12;
/// How often a guest may restart itself during a boot.
const MAX_RESTARTS: u32 = 3;
/// A kernel's last words if the emulator was too slow for its timer.
const HOSTS_FAULT: &str = "IO-APIC + timer doesn't work";
/// How often the machine is started again then.
const MAX_SECOND_TRIES: u32 = 3;
/// The most troubles that are kept.
const MAX_TROUBLES: usize = 200;
/// The most occurrences that are read at once, so that a console that never stops does not delay other work.
const MAX_OCCURRENCES: usize = 256;

/// Gets reports while the boot runs.
pub trait Watcher {
    /// Starts a machine. A program that must end it when it is stopped records its process here.
    ///
    /// # Errors
    ///
    /// Like [`vm::start`].
    fn start(&mut self, machine: &Machine, folder: &Path) -> Result<Running, vm::Error> {
        vm::start(machine, folder)
    }
    /// A boot begins: the first one, one after a restart, one of another machine.
    fn boot(&mut self, name: &str);
    /// A stage began.
    fn stage(&mut self, at: Duration, stage: Stage);
    /// Something went wrong, but the boot continues.
    fn trouble(&mut self, trouble: &Trouble);
    /// A check has ended.
    fn check(&mut self, check: &Check);
    /// The guest wrote this to its console.
    fn console(&mut self, bytes: &[u8]);
}

/// A running machine, its console so far, and its agent.
pub(crate) struct Session<'a> {
    pub(crate) running: Running,
    pub(crate) agent: Agent,
    pub(crate) view: View<'a>,
    limits: Limits,
    /// How often the machine was started again for a reason that is not the guest's fault.
    second_tries: u32,
}

/// What is known of the guest without asking it.
pub(crate) struct View<'a> {
    pub(crate) follower: Follower,
    pub(crate) stages: Vec<StageTime>,
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) watcher: &'a mut dyn Watcher,
    /// The first failure that ends the boot.
    fatal: Option<Trouble>,
    /// What the monitor reported: the guest reset itself, or powered off.
    pub(crate) was_reset: bool,
    was_shut_down: bool,
    is_closed: bool,
    /// Why the host cannot continue with the guest.
    hosts_problem: Option<&'static str>,
    progress: Progress,
    io_bytes: u64,
    monitor_at: Duration,
    begun_at: Duration,
}

impl<'a> Session<'a> {
    /// Starts `machine`, with its sockets in `folder`.
    pub(crate) fn start(
        machine: &Machine,
        folder: &Path,
        limits: Limits,
        watcher: &'a mut dyn Watcher,
    ) -> Result<Self, vm::Error> {
        let running = watcher.start(machine, folder)?;
        let stream = running.channel(PORT)?;
        let agent =
            Agent::new(stream).map_err(|error| vm::Error::Io { what: "the agent's channel".to_owned(), error })?;
        let view = View::new(watcher);
        Ok(Self { running, agent, view, limits, second_tries: 0 })
    }

    /// Follows the boot to cloud-init's end, or to its own end before that.
    pub(crate) fn follow(&mut self) -> Result<(), Failure> {
        let mut restarts = 0;
        loop {
            self.pump(SLICE);
            let now = self.running.since_start();
            if let Some(failure) = self.ending(now) {
                return Err(failure);
            }
            if self.view.follower.stage() == Stage::Finished {
                return Ok(());
            }
            // SeaBIOS resets the machine once more to reset all devices.
            if self.view.was_reset && self.view.follower.stage() == Stage::Firmware {
                self.view.was_reset = false;
            }
            if self.view.was_reset {
                restarts += 1;
                if restarts > MAX_RESTARTS {
                    let problem = format!("the guest restarted itself {restarts} times");
                    return Err(self.failure(self.view.follower.stage(), problem));
                }
                self.agent.forget();
                self.view.go_on_after_restart(now, "the guest restarted itself");
            }
        }
    }

    /// Follows the boot until its agent says hello, or cloud-init has ended without one.
    pub(crate) fn follow_to_agent(&mut self) -> Result<Option<Hello>, Failure> {
        loop {
            self.pump(SLICE);
            if let Some(hello) = self.agent.hello() {
                return Ok(Some(hello.clone()));
            }
            let now = self.running.since_start();
            if let Some(failure) = self.ending(now) {
                return Err(failure);
            }
            if self.view.follower.stage() == Stage::Finished {
                return Ok(self.await_agent().ok().and(self.agent.hello().cloned()));
            }
        }
    }

    /// Waits for the agent after cloud-init's end.
    pub(crate) fn await_agent(&mut self) -> Result<(), Silence> {
        let deadline = self.running.since_start() + self.limits.stall / AGENT_GRACE;
        while self.agent.hello().is_none() {
            if self.view.is_closed {
                return Err(Silence::Closed);
            }
            if self.running.since_start() > deadline {
                return Err(Silence::NoAgent);
            }
            self.pump(SLICE);
        }
        Ok(())
    }

    /// Makes the guest restart itself, and follows that as another boot.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        let hellos = self.agent.hellos();
        // The answer may never arrive.
        let _ = self.run("(sleep 1; systemctl reboot || reboot) >/dev/null 2>&1 &", None, Duration::from_secs(10));
        let begun = self.running.since_start();
        while !self.view.was_reset && self.agent.hellos() == hellos {
            self.pump(SLICE);
            let now = self.running.since_start();
            if now - begun > self.limits.stall {
                return Err(self.failure(
                    self.view.follower.stage(),
                    format!("the guest did not restart within {} s", self.limits.stall.as_secs()),
                ));
            }
            if self.view.is_closed {
                return Err(self.failure(Stage::Finished, "the machine ended instead of restarting".to_owned()));
            }
        }
        self.agent.forget();
        Ok(())
    }

    /// Another boot begins.
    pub(crate) fn begin_boot(&mut self, name: &str) {
        let now = self.running.since_start();
        self.view.begin(now);
        self.view.watcher.boot(name);
    }

    /// Processes what happens within `slice`.
    pub(crate) fn pump(&mut self, slice: Duration) {
        let Self { running, agent, view, .. } = self;
        view.pump(running, slice);
        agent.listen();
        view.heed(agent, running.since_start());
    }

    /// Runs a command in the guest.
    pub(crate) fn run(&mut self, command: &str, user: Option<&str>, timeout: Duration) -> Result<Output, Silence> {
        let Self { running, agent, view, .. } = self;
        agent.run(command, user, timeout, &mut |slice| view.pump(running, slice))
    }

    /// What a path in the guest is.
    pub(crate) fn look(&mut self, path: &str, sha256: bool) -> Result<Option<Found>, Silence> {
        let Self { running, agent, view, .. } = self;
        agent.look(path, sha256, &mut |slice| view.pump(running, slice))
    }

    /// A file's content, or the end of it.
    pub(crate) fn read(&mut self, path: &str, from_end: bool) -> Result<Vec<u8>, Silence> {
        let Self { running, agent, view, .. } = self;
        agent.read(path, from_end, &mut |slice| view.pump(running, slice)).map(|(content, _)| content)
    }

    /// The limits.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// The failure that ends the boot now, if there is one.
    fn ending(&mut self, now: Duration) -> Option<Failure> {
        if let Some(fatal) = self.view.fatal.take() {
            // The lines right after it tell more.
            for _ in 0..5 {
                self.pump(SLICE);
            }
            if !fatal.line.contains(HOSTS_FAULT) {
                let lines = self.view.lines_round(&fatal.line);
                return Some(Failure { lines, ..self.failure(fatal.stage, fatal.meaning) });
            }
            self.second_tries += 1;
            if self.second_tries > MAX_SECOND_TRIES || self.running.monitor().reset().is_err() {
                let problem = "the host is too busy for the emulator: the kernel's timer did not tick".to_owned();
                return Some(Failure { is_hosts: true, ..self.failure(fatal.stage, problem) });
            }
            self.agent.forget();
            self.view.go_on_after_restart(now, "the host was too busy for the emulator: the machine is started again");
            return None;
        }
        let stage = self.view.follower.stage();
        if let Some(problem) = self.view.hosts_problem {
            return Some(Failure { is_hosts: true, ..self.failure(stage, problem.to_owned()) });
        }
        if self.view.is_closed {
            let said = self.running.stderr();
            let said = said.trim();
            let problem = match (self.view.was_shut_down, said.is_empty()) {
                (true, _) => "the guest shut down".to_owned(),
                (false, true) => "the machine ended".to_owned(),
                (false, false) => format!("the machine ended; QEMU says: {said}"),
            };
            return Some(self.failure(stage, problem));
        }
        if let Some(since) = self.view.follower.login_without_cloud_init()
            && now.saturating_sub(since) > self.limits.stall / LOGIN_GRACE
        {
            let problem = "the guest is up and cloud-init did not run: ds-identify found no seed, or cloud-init is \
                           disabled or not installed";
            return Some(self.failure(Stage::DsIdentify, problem.to_owned()));
        }
        let idle = self.view.progress.idle(now);
        if idle > self.limits.stall {
            let problem = match self.view.follower.lines().is_empty() && self.view.follower.unfinished().is_empty() {
                true => format!(
                    "no output on the serial console for {} s: the kernel may need `console={}`",
                    idle.as_secs(),
                    "ttyS0"
                ),
                false => format!("no progress for {} s: the guest hangs", idle.as_secs()),
            };
            return Some(self.failure(stage, problem));
        }
        if now.saturating_sub(self.view.begun_at) > self.limits.total {
            return Some(
                self.failure(stage, format!("the boot was not finished after {} s", self.limits.total.as_secs())),
            );
        }
        None
    }

    fn failure(&self, stage: Stage, problem: String) -> Failure {
        Failure { stage, problem, lines: self.view.last_lines(), is_hosts: false }
    }
}

impl<'a> View<'a> {
    fn new(watcher: &'a mut dyn Watcher) -> Self {
        let begun_at = Duration::ZERO;
        Self {
            follower: Follower::default(),
            stages: vec![StageTime { stage: Stage::Firmware, at: begun_at }],
            troubles: Vec::new(),
            watcher,
            fatal: None,
            was_reset: false,
            was_shut_down: false,
            is_closed: false,
            hosts_problem: None,
            progress: Progress::default(),
            io_bytes: 0,
            monitor_at: Duration::ZERO,
            begun_at,
        }
    }

    /// Starts the same machine again.
    fn begin(&mut self, now: Duration) {
        self.follower = Follower::default();
        self.stages = vec![StageTime { stage: Stage::Firmware, at: now }];
        self.troubles = Vec::new();
        (self.fatal, self.was_reset, self.begun_at) = (None, false, now);
        self.progress = Progress::default();
        self.note_progress(now, 0, true);
    }

    /// The guest restarted itself, which a firmware may do to configure itself, and a user-data may ask for.
    fn go_on_after_restart(&mut self, now: Duration, line: &str) {
        let (stage, line) = (self.follower.stage(), line.to_owned());
        let trouble = Trouble { stage, meaning: String::new(), line, at: now };
        self.watcher.trouble(&trouble);
        let (mut troubles, mut stages, begun_at) =
            (std::mem::take(&mut self.troubles), std::mem::take(&mut self.stages), self.begun_at);
        troubles.push(trouble);
        self.begin(now);
        stages.extend(std::mem::take(&mut self.stages));
        (self.troubles, self.stages, self.begun_at) = (troubles, stages, begun_at);
    }

    fn pump(&mut self, running: &Running, slice: Duration) {
        let mut occurrence = running.next(slice);
        let mut taken = 0;
        while let Some(Occurrence { since_start, what }) = occurrence {
            match what {
                What::Console(bytes) => self.console(since_start, &bytes),
                What::Event { name, .. } if name == "RESET" => self.was_reset = true,
                What::Event { name, .. } if name == "SHUTDOWN" => self.was_shut_down = true,
                What::Event { name, data } if name == "BLOCK_IO_ERROR" => {
                    let problem = match data["nospace"] == true {
                        true => "the host has no room for what the guest writes: it is stored in TMPDIR, or /var/tmp",
                        false => "the host cannot read or write a disk of the guest",
                    };
                    self.hosts_problem.get_or_insert(problem);
                }
                What::Event { .. } => {}
                What::MonitorClosed | What::ConsoleClosed => self.is_closed = true,
            }
            taken += 1;
            // If a restart is expected, another boot begins here.
            if self.was_reset || taken == MAX_OCCURRENCES {
                break;
            }
            occurrence = running.next(Duration::ZERO);
        }
        let now = running.since_start();
        if !self.is_closed && now.saturating_sub(self.monitor_at) > MONITOR_INTERVAL {
            self.monitor_at = now;
            if let Ok(progress) = running.monitor().progress() {
                self.io_bytes = progress.read_bytes.saturating_add(progress.written_bytes);
            }
        }
    }

    fn console(&mut self, at: Duration, bytes: &[u8]) {
        self.watcher.console(bytes);
        for sign in self.follower.feed(at, bytes) {
            self.sign(at, sign);
        }
    }

    fn sign(&mut self, at: Duration, sign: Sign) {
        match sign {
            Sign::Entered(stage) => {
                self.stages.push(StageTime { stage, at });
                self.watcher.stage(at, stage);
            }
            Sign::Fatal(trouble) => {
                self.fatal.get_or_insert(trouble);
            }
            Sign::Trouble(trouble) => {
                let is_new = self.troubles.iter().all(|other| other.line != trouble.line);
                if is_new && self.troubles.len() < MAX_TROUBLES {
                    self.watcher.trouble(&trouble);
                    self.troubles.push(trouble);
                }
            }
        }
    }

    /// Uses what the agent knows about cloud-init, because an image may not show it on its console.
    fn heed(&mut self, agent: &Agent, now: Duration) {
        let (stage, is_finished) = agent.cloud_init();
        let stage = match is_finished {
            true => Some(Stage::Finished),
            false => stage.and_then(Stage::of_cloud_init),
        };
        if let Some(sign) = stage.and_then(|stage| self.follower.enter(stage)) {
            self.sign(now, sign);
        }
        self.note_progress(now, agent.work_done(), false);
    }

    fn note_progress(&mut self, now: Duration, work_cs: u64, is_begin: bool) {
        let novelties = self.follower.novelties() + u64::from(is_begin);
        self.progress.note(now, Deeds { novelties, io_bytes: self.io_bytes, work_cs });
    }

    /// The last lines of the console, with the one that has not ended.
    fn last_lines(&self) -> Vec<String> {
        let count = self.follower.lines().len();
        self.told(count.saturating_sub(LAST_LINES), count)
    }

    /// The lines around the last one that equals `line`; the last lines if there is no such line.
    fn lines_round(&self, line: &str) -> Vec<String> {
        let lines = self.follower.lines();
        match lines.iter().rev().position(|other| other.text.trim() == line) {
            Some(behind) => {
                let end = lines.len() - behind;
                self.told(end.saturating_sub(LAST_LINES), (end + LAST_LINES / 2).min(lines.len()))
            }
            None => self.last_lines(),
        }
    }

    /// Lines for people: no repetitions, and no endless lines.
    fn told(&self, begin: usize, end: usize) -> Vec<String> {
        let lines = self.follower.lines();
        let some = lines.iter().skip(begin).take(end.saturating_sub(begin));
        let mut told: Vec<String> = some.map(|line| shortened(&line.text)).collect();
        let unfinished = self.follower.unfinished();
        if end == lines.len() && !unfinished.trim().is_empty() {
            told.push(shortened(unfinished.trim()));
        }
        told.dedup();
        told
    }

    /// The console's text, with the time of each line.
    pub(crate) fn console_text(&self) -> String {
        let mut text = self.follower.lines().text();
        let unfinished = self.follower.unfinished();
        if !unfinished.trim().is_empty() {
            text.push_str(&format!("{:8}  {}\n", "", unfinished.trim_end()));
        }
        text
    }
}
