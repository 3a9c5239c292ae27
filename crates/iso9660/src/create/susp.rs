//! Rock Ridge's entries about a file, in the system use area of its record and continued elsewhere.

use zerocopy::IntoBytes;

use crate::layout::{RawContinuation, RawPosix, RawSuspHeader, TF_MODIFY};
use crate::{BLOCK_BYTES, time};

const MAX_RECORD_BYTES: usize = 254;
const CONTINUATION_BYTES: usize = size_of::<RawSuspHeader>() + size_of::<RawContinuation>();
/// "TF": the times of the last access and of the last change of attributes.
const TF_ACCESS_AND_ATTRIBUTES: u8 = 1 << 2 | 1 << 3;

/// IEEE P1282, "Specification of the ER System Use Entry Values for RRIP".
const EXTENSION_ID: &str = "RRIP_1991A";
const EXTENSION_DESCRIPTOR: &str =
    "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
const EXTENSION_SOURCE: &str = "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN \
                                PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION.";

/// What a file is to POSIX, besides its name and its time.
pub(super) struct Posix {
    pub(super) mode: u32,
    pub(super) links: u32,
}

impl Posix {
    /// The entries for a record; an empty name has no entry. The first record of the root also says
    /// that there are such areas.
    pub(super) fn entries(&self, name: &str, seconds: i64, is_start: bool) -> Vec<Vec<u8>> {
        let mut entries = Vec::new();
        if is_start {
            entries.push(entry(*b"SP", &[0xbe, 0xef, 0]));
        }
        if !name.is_empty() {
            entries.push(entry(*b"NM", &[&[0], name.as_bytes()].concat()));
        }
        let posix = RawPosix { mode: self.mode.into(), links: self.links.into(), uid: 0.into(), gid: 0.into() };
        entries.push(entry(*b"PX", posix.as_bytes()));
        let times = [&[TF_MODIFY | TF_ACCESS_AND_ATTRIBUTES][..], &time::to_record(seconds).repeat(3)].concat();
        entries.push(entry(*b"TF", &times));
        if is_start {
            let texts = [EXTENSION_ID, EXTENSION_DESCRIPTOR, EXTENSION_SOURCE];
            let lengths = texts.map(|text| text.len() as u8);
            entries.push(entry(*b"ER", &[&lengths[..], &[1], texts.concat().as_bytes()].concat()));
        }
        entries
    }
}

/// An entry of less than 252 bytes of `content`.
fn entry(signature: [u8; 2], content: &[u8]) -> Vec<u8> {
    let header = RawSuspHeader { signature, length: (size_of::<RawSuspHeader>() + content.len()) as u8, version: 1 };
    [header.as_bytes(), content].concat()
}

/// The system use areas of one directory.
pub(super) struct SystemUse {
    /// The first block of the continuations.
    block: u64,
    continuation: Vec<u8>,
}

impl SystemUse {
    pub(super) fn new(block: u64) -> Self {
        Self { block, continuation: Vec::new() }
    }

    /// The area of a record after `used_bytes`. Entries that do not fit are continued elsewhere.
    pub(super) fn lay_out(&mut self, entries: &[Vec<u8>], used_bytes: usize) -> Vec<u8> {
        let room = MAX_RECORD_BYTES - used_bytes;
        let all = entries.concat();
        if all.len() <= room {
            return all;
        }
        let mut area = Vec::new();
        let mut rest = entries.iter();
        let mut behind = Vec::new();
        for entry in rest.by_ref() {
            if area.len() + entry.len() + CONTINUATION_BYTES > room {
                behind.extend_from_slice(entry);
                break;
            }
            area.extend_from_slice(entry);
        }
        rest.for_each(|entry| behind.extend_from_slice(entry));
        let block_bytes = BLOCK_BYTES as usize;
        // A continuation is in one block.
        if self.continuation.len() % block_bytes + behind.len() > block_bytes {
            self.continuation.resize(self.continuation.len().next_multiple_of(block_bytes), 0);
        }
        let at = self.continuation.len() as u64;
        let continuation = RawContinuation {
            block: ((self.block + at / BLOCK_BYTES) as u32).into(),
            offset: ((at % BLOCK_BYTES) as u32).into(),
            length: (behind.len() as u32).into(),
        };
        area.extend(entry(*b"CE", continuation.as_bytes()));
        self.continuation.extend(behind);
        area
    }

    pub(super) fn into_continuation(self) -> Vec<u8> {
        self.continuation
    }
}
