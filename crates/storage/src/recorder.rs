use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Operation, ReadAt, Result, Target, WriteAt, check_range};

/// The unit that a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// A file in memory, for tests, that remembers the order of its changes, so that a test can rebuild what a
/// power cut at any moment may leave of it.
#[derive(Debug, Default)]
pub struct Recorder {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    first: Vec<u8>,
    bytes: Vec<u8>,
    events: Vec<Event>,
}

/// One change of a [`Recorder`]'s bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes were written.
    Write {
        /// Where they begin.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// The size was set.
    SetSize(u64),
    /// All changes before this one are durable.
    Sync,
}

impl From<Vec<u8>> for Recorder {
    fn from(bytes: Vec<u8>) -> Self {
        Self { state: Mutex::new(State { first: bytes.clone(), bytes, events: Vec::new() }) }
    }
}

impl Recorder {
    /// The changes, in order.
    pub fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    /// The bytes as they are now.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// The bytes that a power cut after the first `events` events may leave.
    ///
    /// Everything up to the last sync is kept. After it, each write is dropped, kept, or kept in some of its
    /// sectors of 512 bytes only, and each change of the size is dropped or kept. `random` decides: it is
    /// asked for a number each time.
    pub fn after_power_cut(&self, events: usize, random: &mut dyn FnMut() -> u64) -> Vec<u8> {
        let state = self.state();
        let events = &state.events[..events];
        let synced = events.iter().rposition(|event| *event == Event::Sync).map_or(0, |last| last + 1);
        let mut bytes = state.first.clone();
        events[..synced].iter().for_each(|event| event.happen(&mut bytes));
        for event in &events[synced..] {
            let fate = random() % 3;
            match event {
                Event::Write { offset, data } if fate == 0 => {
                    let mut at = 0;
                    while at < data.len() {
                        let in_sector = (*offset as usize + at) % SECTOR_BYTES;
                        let end = (at + SECTOR_BYTES - in_sector).min(data.len());
                        if random().is_multiple_of(2) {
                            write(&mut bytes, *offset as usize + at, &data[at..end]);
                        }
                        at = end;
                    }
                }
                event if fate == 1 => event.happen(&mut bytes),
                _ => {}
            }
        }
        bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happens(&self, event: Event) {
        let mut state = self.state();
        event.happen(&mut state.bytes);
        state.events.push(event);
    }
}

impl Event {
    fn happen(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => write(bytes, *offset as usize, data),
            Self::SetSize(size) => bytes.resize(*size as usize, 0),
            Self::Sync => {}
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    bytes.resize(bytes.len().max(offset + data.len()), 0);
    bytes[offset..][..data.len()].copy_from_slice(data);
}

impl ReadAt for Recorder {
    fn size_bytes(&self) -> u64 {
        self.state().bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let state = self.state();
        check_range(Operation::Read, offset, buffer.len() as u64, state.bytes.len() as u64)?;
        buffer.copy_from_slice(&state.bytes[offset as usize..][..buffer.len()]);
        Ok(())
    }
}

impl WriteAt for Recorder {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.happens(Event::Write { offset, data: data.to_vec() });
        Ok(())
    }
}

impl Target for Recorder {
    fn set_size(&self, size_bytes: u64) -> Result<()> {
        self.happens(Event::SetSize(size_bytes));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.happens(Event::Sync);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_stays_and_the_rest_is_dropped_kept_or_torn() {
        let recorder = Recorder::from(vec![0; 1024]);
        recorder.write_at(0, &[1; 600]).unwrap();
        recorder.sync().unwrap();
        recorder.write_at(100, &[2; 2000]).unwrap();
        recorder.set_size(1500).unwrap();
        assert_eq!(recorder.bytes().len(), 1500);
        let after = |events, answers: &[u64]| {
            let mut answers = answers.iter();
            recorder.after_power_cut(events, &mut || *answers.next().unwrap())
        };
        let synced = after(2, &[]);
        assert_eq!((synced[599], synced[600], synced.len()), (1, 0, 1024));
        assert!(after(1, &[2]) == vec![0; 1024]);
        assert!(after(4, &[2, 2]) == synced);
        assert!(after(4, &[1, 1]) == recorder.bytes());
        assert_eq!(after(3, &[1]).len(), 2100);
        let torn = after(4, &[0, 0, 1, 0, 1, 1, 2]);
        assert_eq!([100, 511, 512, 1023, 1024, 1535].map(|at| torn[at]), [2, 2, 1, 0, 2, 2]);
        assert_eq!(torn.len(), 1536);
    }
}
