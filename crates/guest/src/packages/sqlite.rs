//! The rows of one table of an SQLite database, out of a foreign file: what rpm's list needs of the format, and no more.
//! (SQLite, Database File Format.)

/// What every database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The header of the database, which is before that of the first page, in bytes.
const HEADER_BYTES: usize = 100;
/// The largest row, in bytes: rpm's headers have up to some megabytes, for packages with very many files.
const ROW_MAX_BYTES: u64 = 64 << 20;
/// The most rows.
const ROWS_MAX: u32 = 200_000;
/// The bytes that are read at a time.
const WINDOW_BYTES: u64 = 256 << 10;

const LEAF_TABLE: u8 = 0x0d;
const INTERIOR_TABLE: u8 = 0x05;

/// Why a database cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem<E> {
    /// The file cannot be read.
    Read(E),
    /// What is wrong with the bytes.
    Damaged(&'static str),
}

type Result<T, E> = std::result::Result<T, Problem<E>>;

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Real,
    /// A text or a blob.
    Bytes(&'a [u8]),
}

/// A database, read through `read`, which gives the bytes at an offset.
pub(super) struct Database<F> {
    read: F,
    size_bytes: u64,
    page_bytes: u64,
    /// What of a page its content may use.
    usable_bytes: u64,
    /// How many pages may still be read: in a sound database each belongs to one thing.
    pages_left: u64,
    window: (u64, Vec<u8>),
}

impl<E, F: FnMut(u64, &mut [u8]) -> std::result::Result<usize, E>> Database<F> {
    pub(super) fn open(read: F, size_bytes: u64) -> Result<Self, E> {
        let mut database =
            Self { read, size_bytes, page_bytes: 0, usable_bytes: 0, pages_left: 0, window: (0, Vec::new()) };
        let header = database.bytes(0, HEADER_BYTES)?;
        if !header.starts_with(MAGIC) {
            return Err(Problem::Damaged("it does not begin as an SQLite database does"));
        }
        let page_bytes = match be16(&header[16..]) {
            1 => 65536,
            size if size >= 512 && size.is_power_of_two() => u64::from(size),
            _ => return Err(Problem::Damaged("its pages have an invalid size")),
        };
        let usable_bytes = page_bytes - u64::from(header[20]);
        if usable_bytes < 480 {
            return Err(Problem::Damaged("too much of each page is reserved"));
        }
        database.page_bytes = page_bytes;
        database.usable_bytes = usable_bytes;
        database.pages_left = size_bytes / page_bytes;
        Ok(database)
    }

    /// The first page of the table `name`.
    pub(super) fn table(&mut self, name: &str) -> Result<Option<u32>, E> {
        let mut root = None;
        // Each row of the schema is a type, a name, the table's name, and its first page.
        self.rows(1, &mut |row| {
            if let [Value::Bytes(b"table"), Value::Bytes(found), _, Value::Integer(page), ..] = row
                && *found == name.as_bytes()
            {
                root = u32::try_from(*page).ok();
            }
        })?;
        Ok(root)
    }

    /// Gives `each` the rows of the table whose first page is `root`, in their order.
    pub(super) fn rows(&mut self, root: u32, each: &mut dyn FnMut(&[Value<'_>])) -> Result<(), E> {
        let mut rows = 0;
        let mut pages = vec![root];
        while let Some(number) = pages.pop() {
            let page = self.page(number)?;
            let start = if number == 1 { HEADER_BYTES } else { 0 };
            let [kind, _, _, count @ ..] = *part::<5, E>(&page, start)?;
            let pointers = match kind {
                LEAF_TABLE => start + 8,
                INTERIOR_TABLE => start + 12,
                _ => return Err(Problem::Damaged("a page of a table is of another kind")),
            };
            let cells = (0..usize::from(u16::from_be_bytes(count)))
                .map(|index| Ok(usize::from(u16::from_be_bytes(*part(&page, pointers + 2 * index)?))));
            let cells = cells.collect::<Result<Vec<usize>, E>>()?;
            if kind == INTERIOR_TABLE {
                // The last one first: what is put last is taken first.
                pages.push(u32::from_be_bytes(*part(&page, start + 8)?));
                for cell in cells.into_iter().rev() {
                    pages.push(u32::from_be_bytes(*part(&page, cell)?));
                }
                if pages.len() as u64 > self.pages_left {
                    return Err(Problem::Damaged("a page has more pages than the file"));
                }
                continue;
            }
            for cell in cells {
                rows += 1;
                if rows > ROWS_MAX {
                    return Err(Problem::Damaged("a table has more than 200000 rows"));
                }
                let payload = self.payload(&page, cell)?;
                let row = columns(&payload).ok_or(Problem::Damaged("a row does not have the values that it names"))?;
                each(&row);
            }
        }
        Ok(())
    }

    /// The content of a row whose cell is at `at` in a leaf.
    fn payload(&mut self, page: &[u8], at: usize) -> Result<Vec<u8>, E> {
        let cut = || Problem::Damaged("a row is not within its page");
        let mut rest = page.get(at..self.usable_bytes as usize).ok_or_else(cut)?;
        let size = varint(&mut rest).ok_or_else(cut)?;
        varint(&mut rest).ok_or_else(cut)?;
        if size > ROW_MAX_BYTES || size > self.size_bytes {
            return Err(Problem::Damaged("a row is larger than 64 MiB, or than the file"));
        }
        let local = self.local_bytes(size);
        let mut payload = rest.get(..local as usize).ok_or_else(cut)?.to_vec();
        if local < size {
            let mut next = u32::from_be_bytes(*part(rest, local as usize)?);
            while (payload.len() as u64) < size {
                let page = self.page(next)?;
                next = u32::from_be_bytes(*part(&page, 0)?);
                let content = &page[4..self.usable_bytes as usize];
                let step = content.len().min((size - payload.len() as u64) as usize);
                payload.extend_from_slice(&content[..step]);
            }
        }
        Ok(payload)
    }

    /// How much of a row of `size` bytes is in its leaf.
    fn local_bytes(&self, size: u64) -> u64 {
        let usable = self.usable_bytes;
        let most = usable - 35;
        if size <= most {
            return size;
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let local = least + (size - least) % (usable - 4);
        if local <= most { local } else { least }
    }

    fn page(&mut self, number: u32) -> Result<Vec<u8>, E> {
        self.pages_left = self.pages_left.checked_sub(1).ok_or(Problem::Damaged("a page is used twice"))?;
        let offset = u64::from(number).checked_sub(1).ok_or(Problem::Damaged("a page has the number 0"))?;
        self.bytes(offset * self.page_bytes, self.page_bytes as usize)
    }

    fn bytes(&mut self, offset: u64, size: usize) -> Result<Vec<u8>, E> {
        let (start, window) = &self.window;
        let known = offset.checked_sub(*start).and_then(|from| window.get(from as usize..)?.get(..size));
        if let Some(known) = known {
            return Ok(known.to_vec());
        }
        let start = offset - offset % WINDOW_BYTES;
        let size_here = self.size_bytes.saturating_sub(start).min(WINDOW_BYTES);
        let mut window = vec![0; size_here as usize];
        let count = (self.read)(start, &mut window).map_err(Problem::Read)?;
        window.truncate(count);
        let found = window.get((offset - start) as usize..).and_then(|from| from.get(..size)).map(<[u8]>::to_vec);
        self.window = (start, window);
        found.ok_or(Problem::Damaged("a page is past the end of the file"))
    }
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

/// The `N` bytes at `at`.
fn part<const N: usize, E>(bytes: &[u8], at: usize) -> Result<&[u8; N], E> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Problem::Damaged("something is past the end of its page"))
}

/// Takes a number of SQLite's own form: seven bits a byte, the ninth byte whole.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..9 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if index == 8 {
            return Some(value << 8 | u64::from(byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The values of a row.
fn columns(payload: &[u8]) -> Option<Vec<Value<'_>>> {
    let mut header = payload;
    let header_bytes = usize::try_from(varint(&mut header)?).ok()?;
    let taken = payload.len() - header.len();
    let mut header = payload.get(taken..header_bytes)?;
    let mut content = payload.get(header_bytes..)?;
    let mut values = Vec::new();
    while !header.is_empty() {
        let kind = varint(&mut header)?;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (kind - 12) / 2,
        };
        let (bytes, rest) = content.split_at_checked(usize::try_from(size).ok()?)?;
        content = rest;
        values.push(match kind {
            0 => Value::Null,
            1..=6 => {
                // Of two's complement: the first byte has the sign.
                let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
                Value::Integer(bytes.iter().fold(sign, |value, &byte| value << 8 | i64::from(byte)))
            }
            7 => Value::Real,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            _ => Value::Bytes(bytes),
        });
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    use testkit::judge::judge;

    /// Of SQLite itself: rows whose blobs have the size of their number times 37, and numbers of each size.
    fn database(page_bytes: u32, rows: u32) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let script = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('pragma page_size = ' + sys.argv[2])
db.execute('create table other (x)')
db.execute('create table Packages (number integer primary key, value integer, text, real, blob blob)')
for i in range(int(sys.argv[3])):
    db.execute('insert into Packages values (?, ?, ?, 1.5, ?)', (i, (-1) ** i * (3 ** i % 2 ** 62), 't' * i, bytes([i % 256]) * (37 * i)))
db.commit()
db.close()
";
        let arguments = [page_bytes.to_string(), rows.to_string()];
        judge("python3").args(["-c", script]).arg(&path).args(arguments).succeed();
        std::fs::read(path).unwrap()
    }

    /// A number, the lengths of a text and of a blob, and the blob's first byte.
    type Row = (i64, usize, usize, Option<u8>);

    fn rows(bytes: &[u8]) -> Result<Vec<Row>, Infallible> {
        let read = |offset: u64, buffer: &mut [u8]| {
            let from = bytes.get(offset as usize..).unwrap_or_default();
            let count = from.len().min(buffer.len());
            buffer[..count].copy_from_slice(&from[..count]);
            Ok(count)
        };
        let mut database = Database::open(read, bytes.len() as u64)?;
        let root = database.table("Packages")?.ok_or(Problem::Damaged("no table"))?;
        let mut found = Vec::new();
        database.rows(root, &mut |row| {
            if let [Value::Null, Value::Integer(value), Value::Bytes(text), Value::Real, Value::Bytes(blob)] = row {
                found.push((*value, text.len(), blob.len(), blob.first().copied()));
            }
        })?;
        Ok(found)
    }

    #[test]
    fn rows_are_those_that_sqlite_wrote() {
        for (page_bytes, count) in [(512, 38), (4096, 300), (65536, 300)] {
            let expected = (0..count).map(|i: usize| {
                let power = (0..i).fold(1_i128, |power, _| power * 3 % (1 << 62));
                let value = power as i64;
                (if i % 2 == 1 { -value } else { value }, i, 37 * i, (i > 0).then_some(i as u8))
            });
            assert_eq!(rows(&database(page_bytes, count as u32)), Ok(expected.collect()), "{page_bytes}");
        }
    }

    #[test]
    fn a_damaged_database_ends_early_whatever_it_says() {
        let good = database(512, 20);
        let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            rows(&bytes)
        };
        let problem = |what| Err(Problem::Damaged(what));
        assert_eq!(damaged(&|bytes| bytes[0] = 0), problem("it does not begin as an SQLite database does"));
        assert_eq!(damaged(&|bytes| bytes[16..18].fill(0xff)), problem("its pages have an invalid size"));
        assert_eq!(damaged(&|bytes| bytes.truncate(50)), problem("a page is past the end of the file"));
        // An inner page all of whose children are itself.
        let inner = (1..good.len() / 512).find(|page| good[page * 512] == INTERIOR_TABLE).unwrap();
        let cycle = damaged(&|bytes| {
            let number = (inner as u32 + 1).to_be_bytes();
            let start = inner * 512;
            bytes[start + 8..start + 12].copy_from_slice(&number);
            let cells = usize::from(be16(&bytes[start + 3..]));
            for cell in 0..cells {
                let at = start + usize::from(be16(&bytes[start + 12 + 2 * cell..]));
                bytes[at..at + 4].copy_from_slice(&number);
            }
        });
        assert!(matches!(cycle, Err(Problem::Damaged("a page is used twice" | "a page has more pages than the file"))));
        // Each byte, one after the other: an error or other rows, and always an end.
        for at in 0..good.len() {
            for value in [1, 0xff] {
                let _ = damaged(&|bytes| bytes[at] = value);
            }
        }
    }

    /// Every cell of large pages is the same one, and each row would take the same pages again.
    #[test]
    fn rows_that_share_their_bytes_are_no_flood() {
        let (page_bytes, pages) = (65536, 40);
        let mut bytes = database(page_bytes, 1);
        let size = page_bytes as usize;
        let root = (1..bytes.len() / size).rev().find(|page| bytes[page * size] == LEAF_TABLE).unwrap();
        bytes.resize(pages * size, 0);
        // The root has all others as its children, and each of these 20,000 times one row of three bytes.
        let leaf = |page: &mut [u8]| {
            page[..8].copy_from_slice(&[LEAF_TABLE, 0, 0, 0x4e, 0x20, 0, 0, 0]);
            page[60000..60006].copy_from_slice(&[2, 1, 2, 0, 0, 0]);
            page[8..40008].chunks_exact_mut(2).for_each(|cell| cell.copy_from_slice(&60000_u16.to_be_bytes()));
        };
        let first = bytes.len() / size - 30;
        (first..first + 30).for_each(|page| leaf(&mut bytes[page * size..][..size]));
        let page = &mut bytes[root * size..][..size];
        page[..12].copy_from_slice(&[INTERIOR_TABLE, 0, 0, 0, 29, 0, 0, 0, 0, 0, 0, first as u8 + 30]);
        for index in 0..29 {
            let at = 1000 + 8 * index;
            page[12 + 2 * index..][..2].copy_from_slice(&(at as u16).to_be_bytes());
            page[at..at + 5].copy_from_slice(&[0, 0, 0, (first + index + 1) as u8, 1]);
        }
        assert_eq!(rows(&bytes), Err(Problem::Damaged("a table has more than 200000 rows")));
    }
}
