//! The agent on this machine, for tests: the same program over a pair of sockets, without a guest.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::agent::{Agent, Found, Output, PROGRAM, Silence};
use crate::examine::Guest;

pub(crate) struct Local {
    child: Child,
    pub(crate) agent: Agent,
    start: Instant,
}

impl Local {
    #[allow(clippy::disallowed_methods, reason = "the agent is a program")]
    pub(crate) fn start() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let python = testkit::judge::find("python3").expect("python3 is installed");
        let stdin = Stdio::from(OwnedFd::from(theirs));
        let child = Command::new(python).args(["-c", PROGRAM, "0"]).stdin(stdin).spawn().unwrap();
        let mut local = Self { child, agent: Agent::new(ours).unwrap(), start: Instant::now() };
        while local.agent.hello().is_none() {
            local.wait(Duration::from_millis(10));
            local.agent.listen();
        }
        local
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Guest for Local {
    fn run(&mut self, command: &str, user: Option<&str>, timeout: Duration) -> Result<Output, Silence> {
        self.agent.run(command, user, timeout, &mut std::thread::sleep)
    }

    fn look(&mut self, path: &str, sha256: bool) -> Result<Option<Found>, Silence> {
        self.agent.look(path, sha256, &mut std::thread::sleep)
    }

    fn read(&mut self, path: &str, from_end: bool) -> Result<Vec<u8>, Silence> {
        self.agent.read(path, from_end, &mut std::thread::sleep).map(|(content, _)| content)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(16)
    }
}
