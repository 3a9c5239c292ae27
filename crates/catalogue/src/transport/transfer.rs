//! Downloading a file: from one address after the other, over as many connections as needed.

use std::io::{self, Read};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::address::Address;
use super::range::{self, ContentRange};
use super::retry::MAX_ATTEMPTS;
use super::web::{Again, Answer, Failed, Web};
use super::{Download, Error, Event, Progress};
use crate::cache::{Hasher, Part};

/// How many bytes go to the file and into the digest at once.
const BUFFER_BYTES: usize = 256 << 10;

/// The number of buffers: while one is filled, another one is hashed.
const BUFFERS: usize = 4;

/// How often an unreachable address is tried.
const MAX_HARDLY: u32 = 2;

/// The download of a part.
pub(super) struct Transfer<'a> {
    web: &'a Web,
    download: &'a Download,
    progress: &'a dyn Progress,
    part: &'a mut Part,
    /// The digest of all bytes of the part so far.
    hasher: Hasher,
    /// Whether the part may mix several versions of the file: it came in more than one answer.
    is_pieced: bool,
}

impl<'a> Transfer<'a> {
    /// Continues `part`.
    pub(super) fn new(
        web: &'a Web,
        download: &'a Download,
        part: &'a mut Part,
        progress: &'a dyn Progress,
    ) -> Result<Self, Error> {
        if download.size_bytes.is_some_and(|size| part.have_bytes() > size) {
            part.restart()?;
        }
        let is_pieced = part.have_bytes() > 0;
        if is_pieced {
            progress.event(Event::Rehashing { have_bytes: part.have_bytes() });
        }
        let hasher = part.hasher()?;
        Ok(Self { web, download, progress, part, hasher, is_pieced })
    }

    /// Gets all of it from the first address that has it.
    ///
    /// # Errors
    ///
    /// The error of each address; a local error ends it at once.
    pub(super) fn run(&mut self, addresses: &[Address]) -> Result<(), Error> {
        let mut causes = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            match self.from(address) {
                Ok(()) => return Ok(()),
                Err(error @ Error::Cache(_)) => return Err(error),
                Err(error) => {
                    if index + 1 < addresses.len() {
                        self.progress.event(Event::NextMirror { url: address.as_str(), cause: &error });
                    }
                    causes.push(error);
                }
            }
        }
        match causes.len() {
            1 => Err(causes.remove(0)),
            _ => Err(Error::NoMirror { name: self.download.name.clone(), causes }),
        }
    }

    /// Gets all of it from `address`, in as many attempts as needed.
    fn from(&mut self, address: &Address) -> Result<(), Error> {
        let mut failures = 0;
        let mut most_bytes = self.part.have_bytes();
        let mut began_anew = false;
        for _ in 0..MAX_ATTEMPTS {
            let failed = match self.attempt(address) {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            if self.part.have_bytes() > most_bytes {
                failures = 0;
                most_bytes = self.part.have_bytes();
            }
            match failed.again {
                Again::Never => return Err(failed.error),
                // One restart for the bytes of an earlier attempt, which are discarded now.
                Again::AtOnce if began_anew => return Err(failed.error),
                Again::AtOnce => {
                    began_anew = true;
                    most_bytes = self.part.have_bytes();
                    self.progress.event(Event::Retrying {
                        url: address.as_str(),
                        cause: &failed.error,
                        after: Duration::ZERO,
                    });
                }
                Again::Hardly | Again::Later => {
                    failures += 1;
                    self.wait(address, failed, failures)?;
                }
            }
        }
        let problem = format!("the download was cut more than {MAX_ATTEMPTS} times");
        Err(Error::Answer { url: address.as_str().to_owned(), problem })
    }

    /// Waits before the next attempt, if there will be one.
    fn wait(&self, address: &Address, failed: Failed, failures: u32) -> Result<(), Error> {
        let pause = self.web.pause(address, &failed, failures);
        let Some(after) = pause else { return Err(failed.error) };
        self.progress.event(Event::Retrying { url: address.as_str(), cause: &failed.error, after });
        thread::sleep(after);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.part.restart()?;
        self.hasher = Hasher::new(self.download.digest.algorithm());
        self.is_pieced = false;
        Ok(())
    }

    /// One request and its answer.
    fn attempt(&mut self, address: &Address) -> Result<(), Failed> {
        let have_bytes = self.part.have_bytes();
        if have_bytes > 0 && self.download.size_bytes == Some(have_bytes) {
            return self.compare(address);
        }
        let headers = range::headers(have_bytes, self.part.origin());
        let answer = self.web.get(address, &headers, true)?;
        let total_bytes = match answer.status {
            200 => {
                if have_bytes > 0 {
                    self.restart()?;
                }
                answer.length_bytes()?
            }
            206 if have_bytes > 0 => match range::check(&answer, have_bytes, self.part.origin()) {
                Ok(total_bytes) => {
                    self.is_pieced = true;
                    total_bytes
                }
                Err(failed) => {
                    self.restart()?;
                    return Err(failed);
                }
            },
            416 if have_bytes > 0 => return self.is_past_the_end(&answer),
            _ => return Err(answer.refusal()),
        };
        answer.is_not_encoded()?;
        let total_bytes = self.total(&answer, total_bytes)?;
        if let Some(total_bytes) = total_bytes {
            self.part.needs_room(total_bytes).map_err(Error::from)?;
        }
        self.part.set_origin(range::origin_of(&answer, total_bytes));
        let have_bytes = self.part.have_bytes();
        self.progress.event(Event::Started { url: answer.url.as_str(), have_bytes, total_bytes });
        self.receive(answer, total_bytes)?;
        self.compare(address)
    }

    /// The size of the file, known from elsewhere or from the server.
    fn total(&self, answer: &Answer, said: Option<u64>) -> Result<Option<u64>, Failed> {
        match (said, self.download.size_bytes) {
            (Some(said), Some(size)) if said != size => {
                let problem = format!("the file on the server has {said} bytes, not {size}");
                Err(Failed::answer(&answer.url, problem, Again::Never))
            }
            (said, size) => Ok(said.or(size)),
        }
    }

    /// The server has nothing after the part: either the part is complete, or it is useless.
    fn is_past_the_end(&mut self, answer: &Answer) -> Result<(), Failed> {
        let have_bytes = self.part.have_bytes();
        let range = answer.header("content-range").and_then(ContentRange::parse);
        if range == Some(ContentRange::Unsatisfied { total_bytes: have_bytes }) {
            return self.compare(&answer.url);
        }
        self.restart()?;
        let problem = format!("it ends at byte {have_bytes}, where an earlier attempt was cut");
        Err(Failed::answer(&answer.url, problem, Again::AtOnce))
    }

    /// Verifies the complete file.
    fn compare(&mut self, address: &Address) -> Result<(), Failed> {
        let found = self.hasher.clone().finish();
        let expected = self.download.digest;
        if found == expected {
            return Ok(());
        }
        // A mix of several versions may be right if fetched in one answer.
        let again = if self.is_pieced { Again::AtOnce } else { Again::Never };
        self.restart()?;
        let url = address.as_str().to_owned();
        Err(Failed::new(Error::WrongDigest { url, found: Box::new(found), expected: Box::new(expected) }, again))
    }

    /// Reads the whole body: this thread reads and writes, another one computes the digest.
    fn receive(&mut self, answer: Answer, total_bytes: Option<u64>) -> Result<(), Failed> {
        let Answer { url, body, .. } = answer;
        let mut reader = body.into_reader();
        let Self { web, part, hasher, progress, .. } = self;
        let result = thread::scope(|scope| {
            let (full, to_hash) = mpsc::sync_channel::<Vec<u8>>(BUFFERS);
            let (empty, hashed) = mpsc::channel::<Vec<u8>>();
            for _ in 0..BUFFERS {
                let _ = empty.send(Vec::with_capacity(BUFFER_BYTES));
            }
            scope.spawn(move || {
                for buffer in to_hash {
                    hasher.update(&buffer);
                    let _ = empty.send(buffer);
                }
            });
            loop {
                // The other thread runs as long as `full` exists.
                let Ok(mut buffer) = hashed.recv() else { return Ok(()) };
                let have_bytes = part.have_bytes();
                let read = fill(&mut reader, &mut buffer, |count| {
                    progress.event(Event::Received { have_bytes: have_bytes + count });
                });
                if total_bytes.is_some_and(|total| have_bytes + buffer.len() as u64 > total) {
                    let problem = format!("it continues after its {} bytes", total_bytes.unwrap_or(0));
                    return Err(Failed::answer(&url, problem, Again::Never));
                }
                part.append(&buffer).map_err(Error::from)?;
                let _ = full.send(buffer);
                match read {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(error) => return Err(web.failed(&url, ureq::Error::from(error))),
                }
            }
        });
        result?;
        match total_bytes {
            Some(total) if part.have_bytes() < total => {
                let problem = format!("it ended after {} of {total} bytes", part.have_bytes());
                Err(Failed::answer(&url, problem, Again::Later))
            }
            _ => Ok(()),
        }
    }
}

/// Fills `buffer` and returns whether there may be more. After an error it has the bytes before that.
fn fill(reader: &mut impl Read, buffer: &mut Vec<u8>, mut tell: impl FnMut(u64)) -> io::Result<bool> {
    buffer.resize(BUFFER_BYTES, 0);
    let mut filled = 0;
    let result = loop {
        if filled == BUFFER_BYTES {
            break Ok(true);
        }
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break Ok(false),
            Ok(count) => {
                filled += count;
                tell(filled as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    buffer.truncate(filled);
    result
}

impl Web {
    /// How long to wait after `failures` of this kind; `None` if it is not to be tried again.
    pub fn pause(&self, address: &Address, failed: &Failed, failures: u32) -> Option<Duration> {
        let retry = &self.options().retry;
        let most = match failed.again {
            Again::Never | Again::AtOnce => return None,
            Again::Hardly => retry.attempts.min(MAX_HARDLY),
            Again::Later => retry.attempts,
        };
        if failures >= most {
            return None;
        }
        let own = retry.pause(address.as_str(), failures);
        match failed.error {
            Error::Status { retry_after_seconds: Some(seconds), .. } => {
                let wanted = Duration::from_secs(seconds);
                (wanted <= retry.longest_pause).then(|| own.max(wanted))
            }
            _ => Some(own),
        }
    }
}
