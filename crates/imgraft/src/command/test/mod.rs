//! `imgraft test`: an image is booted, and its first boot judged.

mod agent;
mod live;
mod ways;

use std::path::Path;

use customize::Recipe;
use judge::Limits;
use judge::verdict::Verdict;
use recipe::{Boot, Login};
use seed::check::Renderer;
use vm::{Channel, Console, Disk};

use self::live::Live;
use super::boot::explain;
use super::build::read_recipe;
use crate::cli::seed_content::SeedContent;
use crate::cli::test::{AgentPart, Test};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::machine::{MachineFolder, Plan, Subject, Use};
use crate::show::seed::checked_seed;
use crate::show::{Messages, print_json};

pub(super) fn run(arguments: &Test, messages: &Messages) -> Result<Exit, Failure> {
    let unlooked = |failure: Failure| failure.within(format!("`{}` was not tested", arguments.image.display()));
    look(arguments, messages).map_err(unlooked)
}

fn look(arguments: &Test, messages: &Messages) -> Result<Exit, Failure> {
    let recipe = match &arguments.recipe {
        Some(path) => read_recipe(path, true)?,
        None => Recipe::default(),
    };
    let mut content = seed_content(arguments, &recipe.boot);
    let expected = arguments.expected.with(recipe.boot).map_err(Failure::new)?;
    // With a key that is made for the test.
    if let Some(Login::User(user)) = &expected.ssh {
        content.let_in = Some(user.clone());
    }
    let subject = Subject::open(&arguments.image, Use::Throwaway, arguments.backing, messages)?;
    let mut files = MachineFolder::private()?;
    let mut plan = Plan::new(&subject, &arguments.machine, true)?;
    plan.machine.console = Console::Piped;
    plan.machine.channels.push(Channel { name: judge::agent::PORT.to_owned() });
    plan.add_image(&subject, false);
    let why_no_agent = add_seed(&mut plan, arguments, &content, &mut files, messages)?;
    plan.add_kernel(&subject, &arguments.machine, &mut files)?;
    plan.add_network(&arguments.machine)?;
    let ways = ways::open(&mut plan, &expected);
    let login = expected.ssh.as_ref().map(|login| ways::login(login, arguments, &subject));
    plan.say(messages);

    let mut limits = Limits::of(plan.machine.accelerator);
    limits.stall = arguments.stall.unwrap_or(limits.stall);
    limits.total = arguments.timeout.unwrap_or(limits.total);
    let sockets = MachineFolder::private()?;
    let mut live = Live::new(*messages, arguments.console.as_deref())?;
    let judged = judge::judge(
        &judge::Plan {
            image: arguments.image.clone(),
            machine: plan.machine,
            folder: sockets.path(),
            expected: &expected,
            limits,
            ways,
            login,
            with_timeline: arguments.html.is_some() || arguments.json,
            why_no_agent,
        },
        &mut live,
    );
    // The machine has ended, and so its ports are others' again.
    drop(plan.ports);
    live.finish()?;
    let report = judged.map_err(|error| explain(&error))?;
    let made = crate::report::made()?;
    let junit = || judge::report::junit(&report);
    let page = || judge::report::page(&report, &made);
    for (path, make) in [(&arguments.junit, &junit as &dyn Fn() -> String), (&arguments.html, &page)] {
        if let Some(path) = path {
            std::fs::write(path, make())
                .map_err(|error| Failure::because(format!("`{}` cannot be written", path.display()), &error))?;
        }
    }
    if arguments.json {
        print_json(&report)?;
    } else {
        messages.print(&judge::report::text(&report))?;
    }
    Ok(match report.verdict {
        Verdict::Good => Exit::Done,
        Verdict::Wrong => Exit::No,
        Verdict::NotLookedAt => Exit::Trouble,
    })
}

/// What the flags say, with the recipe's user-data where they have none and no seed is there.
fn seed_content(arguments: &Test, boot: &Boot) -> SeedContent {
    let mut content = arguments.content.clone();
    let has_seed = arguments.no_seed || arguments.seed.seed.is_some() || arguments.seed.seed_url.is_some();
    if content.user_data.is_empty() && !has_seed {
        let folder = arguments.recipe.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        content.user_data.extend(boot.user_data.as_ref().map(|path| folder.join(path)));
    }
    content
}

/// Gives the machine its seed, with what starts the agent; says why there may be no agent.
fn add_seed(
    plan: &mut Plan,
    arguments: &Test,
    content: &SeedContent,
    files: &mut MachineFolder,
    messages: &Messages,
) -> Result<Option<String>, Failure> {
    if arguments.no_seed {
        plan.reasons.push("seed         none: you say so".to_owned());
        return Ok(Some("without a seed, nothing brings one".to_owned()));
    }
    if let (Some(path), true, true) = (&arguments.seed.seed, content.is_empty(), arguments.agent != AgentPart::None) {
        let unreadable = |error| Failure::because(format!("`{}` cannot be read", path.display()), &error);
        let disk = graft::of_file(path).map_err(unreadable)?;
        // What is no seed is none for the guest either, and judged as it is.
        if let Ok(mut seed) = seed::read::seed(&disk) {
            let why = agent::add(&mut seed, arguments.agent)?;
            let made = files.seed_disk(&seed)?;
            plan.reasons.push(format!("seed         that on `{}`, and the agent beside it", path.display()));
            plan.machine.disks.push(Disk::read_only(made, "raw"));
            return Ok(why);
        }
    }
    if arguments.seed.seed.is_some() || arguments.seed.seed_url.is_some() {
        plan.add_seed(&arguments.seed, content, files, messages)?;
        return Ok(Some("such a seed brings none, unless its own vendor-data does".to_owned()));
    }
    let (mut seed, _) = checked_seed(content, Renderer::Unknown, messages)?;
    let why = agent::add(&mut seed, arguments.agent)?;
    let path = files.seed_disk(&seed)?;
    plan.reasons.push(format!(
        "seed         made of {}",
        seed.files().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    ));
    plan.machine.disks.push(Disk::read_only(path, "raw"));
    Ok(why)
}
