//! The system use area of a record, by IEEE P1281 and P1282.

use storage::{Printable, ReadAt};
use zerocopy::FromBytes;

use super::Iso;
use crate::layout::{
    NAME_CONTINUE, NAME_CURRENT, NAME_PARENT, RawChildLink, RawContinuation, RawPosix, RawPosixStart, RawSuspHeader,
    SL_ROOT, TF_MODIFY,
};
use crate::{BLOCK_BYTES, Error, time};

/// The most continuations of one area.
const MAX_CONTINUATIONS: u32 = 8;
/// The longest name and the longest target of a link, as Linux has them.
const MAX_NAME_BYTES: usize = 255;
const MAX_TARGET_BYTES: usize = 4096;

/// What Rock Ridge stores about a file.
#[derive(Debug, Default)]
pub(super) struct RockRidge {
    /// "SP": there is such an area in every record, after this many bytes.
    pub(super) skipped_bytes: Option<u8>,
    pub(super) name: Vec<u8>,
    /// With the file's type.
    pub(super) mode: Option<u32>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: Option<i64>,
    pub(super) target: Vec<u8>,
    pub(super) child_link: Option<u32>,
    /// "RE": it belongs elsewhere in the tree.
    pub(super) is_relocated: bool,
    /// "ZF": the content is zisofs.
    pub(super) is_compressed: bool,
    /// A component of the target continues in the next one.
    component_goes_on: bool,
}

impl RockRidge {
    /// Reads `area` and its continuations.
    pub(super) fn read<S: ReadAt>(iso: &Iso<S>, area: &[u8], object: &str) -> Result<Self, Error> {
        let mut read = Self::default();
        let mut next = read.read_area(area, object)?;
        let mut continuations = 0;
        while let Some(continuation) = next {
            continuations += 1;
            let length = continuation.length.get();
            let (block, offset) = (u64::from(continuation.block.get()), u64::from(continuation.offset.get()));
            if continuations > MAX_CONTINUATIONS || u64::from(length) > BLOCK_BYTES {
                let problem = format!("continuation number {continuations} with length={length}");
                return Err(Error::corrupt(object, problem));
            }
            let mut bytes = vec![0; length as usize];
            let whole = offset + u64::from(length);
            iso.window(&format!("continuation area of a record in {object}"), block, whole)?
                .read_at(offset, &mut bytes)?;
            next = read.read_area(&bytes, object)?;
        }
        Ok(read)
    }

    /// Reads one area and returns where it is continued.
    fn read_area(&mut self, mut area: &[u8], object: &str) -> Result<Option<RawContinuation>, Error> {
        let mut continuation = None;
        // Each entry takes at least its header. Fewer bytes than that are padding.
        while let Ok((header, _)) = RawSuspHeader::read_from_prefix(area) {
            let length = usize::from(header.length);
            let Some(content) = area.get(size_of::<RawSuspHeader>()..length) else {
                if header.signature == [0; 2] || self.mode.is_none() {
                    // Padding, or an area that is not of this kind.
                    break;
                }
                let name = Printable(&header.signature);
                return Err(Error::corrupt(object, format!("system use entry `{name}` with length={length}")));
            };
            match &header.signature {
                b"CE" => continuation = RawContinuation::read_from_prefix(content).ok().map(|(raw, _)| raw),
                b"ST" => break,
                _ => self.take(header.signature, content),
            }
            if self.name.len() > MAX_NAME_BYTES || self.target.len() > MAX_TARGET_BYTES {
                let lengths = format!("a name of {} bytes, a link to {}", self.name.len(), self.target.len());
                return Err(Error::corrupt(object, lengths));
            }
            area = &area[length..];
        }
        Ok(continuation)
    }

    fn take(&mut self, signature: [u8; 2], content: &[u8]) {
        match &signature {
            b"SP" => {
                let start = RawPosixStart::read_from_prefix(content).ok().map(|(raw, _)| raw);
                self.skipped_bytes = start.filter(|raw| raw.check == [0xbe, 0xef]).map(|raw| raw.skipped);
            }
            b"PX" => {
                if let Ok((raw, _)) = RawPosix::read_from_prefix(content) {
                    (self.mode, self.uid, self.gid) = (Some(raw.mode.get()), raw.uid.get(), raw.gid.get());
                }
            }
            // Other flags mean `.` and `..`, which have no names.
            b"NM" if content.first().is_some_and(|flags| flags & !NAME_CONTINUE == 0) => {
                self.name.extend_from_slice(&content[1..]);
            }
            b"TF" => self.modified = self.modified.or_else(|| modified(content)),
            b"SL" => self.take_target(content.get(1..).unwrap_or_default()),
            b"CL" => self.child_link = RawChildLink::read_from_prefix(content).ok().map(|(raw, _)| raw.location.get()),
            b"RE" => self.is_relocated = true,
            b"ZF" => self.is_compressed = true,
            _ => {}
        }
    }

    /// Adds components to the target of a symbolic link.
    fn take_target(&mut self, mut components: &[u8]) {
        while let [flags, length, rest @ ..] = components {
            let Some((text, behind)) = rest.split_at_checked(usize::from(*length)) else { return };
            let text: &[u8] = match flags & (NAME_CURRENT | NAME_PARENT | SL_ROOT) {
                NAME_CURRENT => b".",
                NAME_PARENT => b"..",
                SL_ROOT => b"",
                _ => text,
            };
            if !self.target.is_empty() && !self.component_goes_on && self.target != b"/" {
                self.target.push(b'/');
            }
            if flags & SL_ROOT != 0 {
                self.target = b"/".to_vec();
            }
            self.target.extend_from_slice(text);
            self.component_goes_on = flags & NAME_CONTINUE != 0;
            components = behind;
        }
    }
}

/// The time of the last modification of a "TF".
fn modified(content: &[u8]) -> Option<i64> {
    const LONG_FORM: u8 = 1 << 7;
    let (&flags, times) = content.split_first()?;
    if flags & TF_MODIFY == 0 || flags & LONG_FORM != 0 {
        return None;
    }
    // Only the creation is before it.
    let index = usize::from(flags & 1);
    let bytes: [u8; 7] = times.get(index * 7..index * 7 + 7)?.try_into().ok()?;
    time::from_record(bytes)
}
