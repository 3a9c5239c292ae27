//! The real QEMU takes our command lines, starts, answers and ends.
#![cfg(feature = "full-tests")]

use std::io::Read;
use std::time::Duration;

use vm::{Architecture, Channel, Console, Machine, Network, What, start};

/// A machine that has nothing to start from.
fn empty_machine() -> Machine {
    Machine { console: Console::Piped, network: Network::None, memory_mib: 128, ..Machine::new(Architecture::X86_64) }
}

#[test]
fn a_machine_starts_answers_and_ends() {
    let sockets = tempfile::tempdir().unwrap();
    let machine = Machine { channels: vec![Channel { name: "org.example.0".to_owned() }], ..empty_machine() };
    let mut running = start(&machine, sockets.path()).unwrap();
    let status = running.monitor().status().unwrap();
    assert!(status.is_running, "{status:?}");
    assert_eq!(running.try_wait().unwrap(), None);
    running.monitor().reset().unwrap();
    let mut events = Vec::new();
    let mut channel = running.channel("org.example.0").unwrap();
    assert!(running.channel("org.example.1").is_err());
    running.monitor().quit().unwrap();
    assert!(running.wait().unwrap().success(), "{}", running.stderr());
    let mut rest = Vec::new();
    channel.read_to_end(&mut rest).unwrap();
    while let Some(occurrence) = running.next(Duration::from_secs(5)) {
        match occurrence.what {
            What::Event { name, .. } => events.push(name),
            What::Console(_) => {}
            closed @ (What::MonitorClosed | What::ConsoleClosed) => events.push(format!("{closed:?}")),
        }
    }
    events.sort();
    assert_eq!(events, ["ConsoleClosed", "MonitorClosed", "RESET", "SHUTDOWN"]);
    assert_eq!(running.stderr(), "");
}
