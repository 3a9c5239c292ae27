//! The connection that a request arrives on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

/// A stream in both directions.
pub trait Wire {
    /// Reads what has arrived, up to the length of `buffer`. If nothing arrives by `deadline`:
    /// [`io::ErrorKind::TimedOut`].
    ///
    /// # Errors
    ///
    /// What the host says.
    fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize>;

    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// Errors of the host; [`io::ErrorKind::TimedOut`] if not all was sent by `deadline`.
    fn write_all(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<()>;

    /// Tells the other side that nothing more will be written.
    fn finish(&mut self);
}

impl Wire for TcpStream {
    fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        self.set_read_timeout(Some(left(deadline)?))?;
        Read::read(self, buffer).map_err(timed_out)
    }

    fn write_all(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            self.set_write_timeout(Some(left(deadline)?))?;
            match Write::write(self, bytes).map_err(timed_out) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn finish(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// Two streams as one connection, without deadlines: only the process that made them waits for them.
#[derive(Debug)]
pub struct Pair<R, W> {
    /// What is read from.
    pub input: R,
    /// What is written to.
    pub output: W,
}

impl<R: Read, W: Write> Wire for Pair<R, W> {
    fn read(&mut self, buffer: &mut [u8], _deadline: Instant) -> io::Result<usize> {
        self.input.read(buffer)
    }

    fn write_all(&mut self, bytes: &[u8], _deadline: Instant) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.output.flush()
    }

    fn finish(&mut self) {
        let _ = self.output.flush();
    }
}

/// The time until `deadline`.
fn left(deadline: Instant) -> io::Result<std::time::Duration> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A socket whose deadline has passed reports that it would block.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}
