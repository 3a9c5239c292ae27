//! Judging an image: boots, checks, restarts, and the verdict.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use recipe::Boot as Expected;
use vm::Machine;

use crate::agent::{Found, Hello, Output, Silence};
use crate::examine::{self, Guest, QUESTION, Seen, check};
use crate::expect;
use crate::progress::Limits;
use crate::reach::{self, SshLogin, Way};
use crate::session::{Session, Watcher};
use crate::stage::Stage;
use crate::timeline;
use crate::verdict::{Boot, Check, Failure, Report, Verdict};

/// The names of boots.
const FIRST: &str = "first boot";
const RESTART: &str = "after a restart";
const ANOTHER: &str = "another first boot";

/// What to judge, and how.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The image, for the report.
    pub image: PathBuf,
    /// The machine that boots it: with a [`PORT`](crate::agent::PORT), a piped console, and a seed that starts the agent.
    pub machine: Machine,
    /// A private folder for sockets.
    pub folder: &'a Path,
    /// What is expected of the guest.
    pub expected: &'a Expected,
    /// How long to wait.
    pub limits: Limits,
    /// Ports of this host that lead into the guest.
    pub ways: Vec<Way>,
    /// Logins by SSH to try, or why that is impossible.
    pub login: Option<Result<SshLogin, String>>,
    /// Whether the report shows when the guest did what: asking for it takes some seconds.
    pub with_timeline: bool,
    /// Why there may be no agent, if that is known before.
    pub why_no_agent: Option<String>,
}

/// Boots and judges the image of `plan`.
///
/// # Errors
///
/// If the machine cannot be started; nothing was checked then.
pub fn judge(plan: &Plan<'_>, watcher: &mut dyn Watcher) -> Result<Report, vm::Error> {
    let begin = Instant::now();
    let mut boots = Vec::new();
    let mut not_looked_at = Vec::new();
    let hello = first_machine(plan, watcher, &mut boots, &mut not_looked_at)?;
    if plan.expected.two_boots {
        match hello {
            Some(hello) => boots.push(another_machine(plan, watcher, &hello, &mut not_looked_at)?),
            None => not_looked_at.push("another first boot: the machine-id of the first one is unknown".to_owned()),
        }
    }
    Ok(Report {
        verdict: Verdict::of(&boots, &not_looked_at),
        image: plan.image.clone(),
        accelerator: plan.machine.accelerator.name().to_owned(),
        took_s: begin.elapsed().as_secs_f64(),
        not_looked_at,
        boots,
    })
}

/// The first boot, and the restart if one is expected.
fn first_machine(
    plan: &Plan<'_>,
    watcher: &mut dyn Watcher,
    boots: &mut Vec<Boot>,
    not_looked_at: &mut Vec<String>,
) -> Result<Option<Hello>, vm::Error> {
    let mut session = Session::start(&plan.machine, plan.folder, plan.limits, watcher)?;
    session.view.watcher.boot(FIRST);
    let mut boot = Boot { name: FIRST.to_owned(), ..Boot::default() };
    let followed = session.follow();
    let hello = finish(&mut session, followed, plan, &mut boot, not_looked_at);
    let is_up = boot.failure.is_none() && hello.is_some();
    close(&mut session, &mut boot, Duration::ZERO);
    boots.push(boot);
    if plan.expected.reboot {
        match (is_up, &hello) {
            (true, Some(hello)) => boots.push(restart(&mut session, plan, hello, not_looked_at)),
            _ => not_looked_at.push("a restart: the first boot did not finish".to_owned()),
        }
    }
    Ok(hello)
}

/// Checks a guest after its boot has ended, successfully or not.
fn finish(
    session: &mut Session<'_>,
    followed: Result<(), Failure>,
    plan: &Plan<'_>,
    boot: &mut Boot,
    not_looked_at: &mut Vec<String>,
) -> Option<Hello> {
    if let Err(failure) = followed {
        if failure.is_hosts {
            not_looked_at.push(format!("{}: {}", boot.name, failure.problem));
            return None;
        }
        if session.agent.hello().is_some() {
            boot.logs = examine::occupation(session);
            boot.logs.extend(examine::logs(session, failure.stage));
        }
        boot.failure = Some(failure);
        return session.agent.hello().cloned();
    }
    if let Err(silence) = session.await_agent() {
        let why = plan.why_no_agent.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        not_looked_at.push(format!("the guest: {silence}{why}"));
        return None;
    }
    for check in examine::always(session, plan.expected) {
        report(session, boot, check);
    }
    let mut found = Vec::new();
    expect::expectations(session, plan.expected, &mut |check| found.push(check));
    for check in found {
        report(session, boot, check);
    }
    for port in &plan.expected.ports {
        let check = reach::port(session, *port, &plan.ways);
        report(session, boot, check);
    }
    if let Some(login) = &plan.login {
        let check = match login {
            Ok(login) => reach::ssh(session, login, &plan.ways, plan.folder),
            Err(reason) => check(session, "a user can log in by SSH", |_| Err(Silence::Refused(reason.clone()))),
        };
        report(session, boot, check);
    }
    if plan.with_timeline {
        timeline::fetch(session, boot);
    }
    // Other expectations have lines of their own.
    if let Some(stage) = boot.failed_stage() {
        boot.logs = examine::logs(session, stage);
    }
    session.agent.hello().cloned()
}

fn report(session: &mut Session<'_>, boot: &mut Boot, check: Check) {
    session.view.watcher.check(&check);
    boot.checks.push(check);
}

/// Records a boot.
fn close(session: &mut Session<'_>, boot: &mut Boot, at: Duration) {
    boot.at_s = at.as_secs_f64();
    boot.end_s = session.running.since_start().as_secs_f64();
    boot.stages = std::mem::take(&mut session.view.stages);
    boot.troubles = std::mem::take(&mut session.view.troubles);
    boot.console = session.view.console_text();
}

/// What must be the same before and after a restart.
#[derive(Debug, PartialEq, Eq)]
struct Marks {
    /// Where `/var/lib/cloud/instance` points to.
    instance: String,
    /// What cloud-init did once for the instance, and when.
    done_once: String,
}

fn marks(session: &mut Session<'_>) -> Result<Marks, Silence> {
    let instance = session.run("readlink -f /var/lib/cloud/instance", None, QUESTION)?;
    let done = session.run("cd /var/lib/cloud/instance/sem && stat -c '%n %Y' -- *", None, QUESTION)?;
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Marks { instance: text(&instance), done_once: text(&done) })
}

fn restart(session: &mut Session<'_>, plan: &Plan<'_>, before: &Hello, not_looked_at: &mut Vec<String>) -> Boot {
    let mut boot = Boot { name: RESTART.to_owned(), ..Boot::default() };
    let marked = marks(session);
    let restarted = session.restart();
    let at = session.running.since_start();
    session.begin_boot(RESTART);
    let followed = restarted.and_then(|()| session.follow());
    let hello = finish(session, followed, plan, &mut boot, not_looked_at);
    if let (None, Some(hello)) = (&boot.failure, hello) {
        let new = check(session, "the guest has restarted and kept its machine-id", |_| {
            Ok(match (hello.boot_id == before.boot_id, hello.machine_id == before.machine_id) {
                (true, _) => Seen::wrong("it is the same boot"),
                (_, true) => Seen::good(),
                _ => Seen::wrong(format!("its machine-id was {} and is {}", before.machine_id, hello.machine_id)),
            })
        });
        let once = check(session, "cloud-init did not treat it as a first boot", |guest| {
            let (before, after) = (marked?, marks(guest)?);
            Ok(match (before.instance == after.instance, before.done_once == after.done_once) {
                (true, true) => Seen::good(),
                (false, _) => Seen::wrong(format!("its instance was {} and is {}", before.instance, after.instance)),
                _ => Seen::wrong("cloud-init repeated what it does only once")
                    .lines(different(&before.done_once, &after.done_once)),
            })
        });
        report(session, &mut boot, new);
        report(session, &mut boot, once);
    }
    close(session, &mut boot, at);
    boot
}

/// The lines of `after` that are not in `before`.
fn different(before: &str, after: &str) -> Vec<String> {
    after.lines().filter(|line| !before.lines().any(|old| old == *line)).map(str::to_owned).collect()
}

/// Another first boot, until its machine-id is known.
fn another_machine(
    plan: &Plan<'_>,
    watcher: &mut dyn Watcher,
    first: &Hello,
    not_looked_at: &mut Vec<String>,
) -> Result<Boot, vm::Error> {
    let mut session = Session::start(&plan.machine, plan.folder, plan.limits, watcher)?;
    session.view.watcher.boot(ANOTHER);
    let mut boot = Boot { name: ANOTHER.to_owned(), ..Boot::default() };
    match session.follow_to_agent() {
        Err(failure) if failure.is_hosts => not_looked_at.push(format!("{ANOTHER}: {}", failure.problem)),
        Err(failure) => boot.failure = Some(failure),
        Ok(hello) => {
            let check = check(&mut session, "two first boots have different machine-ids", |_| {
                Ok(match hello {
                    Some(hello) if hello.machine_id.len() != 32 => {
                        Seen::wrong(format!("it is `{}`, which is not a machine-id", hello.machine_id))
                            .stage(Stage::Systemd)
                    }
                    Some(hello) if hello.machine_id == first.machine_id => {
                        let problem = format!("both have {}: it is in the image", hello.machine_id);
                        Seen::wrong(problem).stage(Stage::Systemd)
                    }
                    Some(_) => Seen::good(),
                    None => return Err(Silence::NoAgent),
                })
            });
            report(&mut session, &mut boot, check);
        }
    }
    close(&mut session, &mut boot, Duration::ZERO);
    Ok(boot)
}

impl Guest for Session<'_> {
    fn run(&mut self, command: &str, user: Option<&str>, timeout: Duration) -> Result<Output, Silence> {
        Session::run(self, command, user, timeout)
    }

    fn look(&mut self, path: &str, sha256: bool) -> Result<Option<Found>, Silence> {
        Session::look(self, path, sha256)
    }

    fn read(&mut self, path: &str, from_end: bool) -> Result<Vec<u8>, Silence> {
        Session::read(self, path, from_end)
    }

    fn now(&self) -> Duration {
        self.running.since_start()
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now() + time;
        while self.now() < until {
            self.pump(Duration::from_millis(100));
        }
    }

    fn patience(&self) -> Duration {
        self.limits().stall
    }
}
