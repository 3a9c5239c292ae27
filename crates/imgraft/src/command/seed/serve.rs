//! `imgraft seed serve`: seeds over HTTP.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use seed::check::Renderer;
use seed::server::{Ec2, Pair, Seeds, Server, Service};
use seed::{LineReader, MetaData};

use super::journal::Journal;
use crate::cli::serve::Serve;
use crate::environment;
use crate::failure::Failure;
use crate::show::seed::checked_seed;
use crate::show::{Messages, print};

pub(super) fn run(arguments: &Serve, messages: &Messages) -> Result<(), Failure> {
    let (seeds, ec2) = seeds(arguments, messages)?;
    let journal = Journal::open(arguments.log.as_deref(), arguments.phone_home_dir.as_deref(), *messages)?;
    let journal = Arc::new(journal);
    // Of one connection to the next, only what is served stays the same for processes that each answer one. Who knows
    // that has no use for a token.
    let secret = if arguments.inetd { seeds.digest() } else { environment::random_bytes() };
    let secret = secret.map_err(|error| Failure::because("there is no secret for tokens", &error))?;
    let mut service = Service::new(seeds, journal.clone(), environment::seconds_now, secret);
    service.ec2 = ec2;
    service.imds = arguments.imds.into();
    service.has_nocloud = !arguments.no_nocloud;
    if arguments.inetd {
        let mut wire = Pair { input: io::stdin().lock(), output: io::stdout().lock() };
        service.serve(&mut wire, "inetd");
        return Ok(());
    }
    let unheard = |error| {
        Failure::because(format!("`{}` cannot be listened at", arguments.listen), &error)
            .hint("--listen takes an address of this machine, and a port that is free: 0 is any")
    };
    let listener = TcpListener::bind(arguments.listen).map_err(unheard)?;
    let server = Server::start(listener, Arc::new(service)).map_err(unheard)?;
    announce(server.address(), arguments.no_nocloud, messages)?;
    match arguments.until_phone_home {
        Some(count) => {
            journal.wait_for_calls(count);
            // The last one is told that it was heard.
            drop(server);
        }
        None => server.wait(),
    }
    Ok(())
}

/// What is served, read and checked before anybody can ask for it.
fn seeds(arguments: &Serve, messages: &Messages) -> Result<(Seeds, Ec2), Failure> {
    let content = &arguments.content;
    let (seed, public_keys) = checked_seed(content, Renderer::Unknown, messages)?;
    let hostname = content.hostname.clone().unwrap_or_default();
    let meta_data = MetaData { local_hostname: hostname.clone().into_bytes(), ..MetaData::default() };
    let made = content.meta_data.is_none().then_some(meta_data);
    let mut seeds = Seeds::new(seed, made).map_err(|error| Failure::of(&error))?;
    if let Some(folder) = &arguments.folder {
        let unread = |error| Failure::because(format!("`{}` cannot be served", folder.display()), &error);
        seeds = seeds.with_folder(Path::new(folder)).map_err(unread)?;
        if arguments.other_files {
            seeds = seeds.with_other_files();
        }
    }
    let mut ec2 = Ec2 {
        public_keys,
        instance_type: arguments.instance_type.clone(),
        availability_zone: arguments.availability_zone.clone(),
        ..Ec2::default()
    };
    if !hostname.is_empty() {
        ec2.hostname = hostname;
    }
    Ok((seeds, ec2))
}

/// Says where it is, to programs on standard output: last, as they ask at once, and what they ask is said, too.
fn announce(address: SocketAddr, is_amazon_only: bool, messages: &Messages) -> Result<(), Failure> {
    if is_amazon_only {
        messages.note("serving Amazon's metadata only");
    } else if address.ip().is_loopback() {
        // What that network calls this machine's loopback.
        let url = format!("http://10.0.2.2:{}/", address.port());
        messages.note(format_args!("serving; a guest in QEMU's user network finds it at {url}"));
        if let Ok(line) = seed::Line::new(Some(&url), None, None) {
            messages.note(format_args!("it is told so with {}", line.for_reader(LineReader::Qemu)));
        }
    } else {
        messages.note("serving; everybody who can reach this machine can read all of it");
    }
    print(&format!("http://{address}/\n"))
}
