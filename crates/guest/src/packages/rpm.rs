//! rpm's list: a table of headers in an SQLite database. (rpm, "Package header format", and `lib/backend/sqlite.cc`.)

use super::Package;
use super::sqlite::{Database, Problem, Value};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCH: u32 = 1022;

/// An entry of a header's index, in bytes: tag, type, offset, count.
const ENTRY_BYTES: usize = 16;
const TYPE_INT32: u32 = 4;
const TYPE_STRING: u32 = 6;
/// What rpm lists keys as, which are no software.
const KEY: &str = "gpg-pubkey";

/// The installed packages in the database of `size_bytes` that `read` reads, in the order in which they were installed.
pub(super) fn packages<E>(
    read: impl FnMut(u64, &mut [u8]) -> Result<usize, E>,
    size_bytes: u64,
) -> Result<Vec<Package>, Problem<E>> {
    let mut database = Database::open(read, size_bytes)?;
    let root = database.table("Packages")?.ok_or(Problem::Damaged("it has no table `Packages`"))?;
    let (mut packages, mut damaged) = (Vec::new(), false);
    // The first value is the number of the row.
    database.rows(root, &mut |row| match row {
        [_, Value::Bytes(header), ..] => match package(header) {
            Some(package) if package.name == KEY => {}
            Some(package) => packages.push(package),
            None => damaged = true,
        },
        _ => damaged = true,
    })?;
    if damaged { Err(Problem::Damaged("a package has no header that can be read")) } else { Ok(packages) }
}

/// The package that a header tells of.
fn package(header: &[u8]) -> Option<Package> {
    let number = |at: usize| Some(u32::from_be_bytes(*header.get(at..)?.first_chunk()?));
    let entries = usize::try_from(number(0)?).ok()?;
    let index_bytes = entries.checked_mul(ENTRY_BYTES)?;
    let index = header.get(8..)?.get(..index_bytes)?;
    let data = header.get(8 + index_bytes..)?;
    let entry = |tag: u32, kind: u32| {
        let entry = index.chunks_exact(ENTRY_BYTES).find(|entry| entry[..4] == tag.to_be_bytes())?;
        let from = usize::try_from(u32::from_be_bytes(*entry[8..].first_chunk()?)).ok()?;
        data.get(from..).filter(|_| entry[4..8] == kind.to_be_bytes())
    };
    let text = |tag| {
        let value = entry(tag, TYPE_STRING)?;
        let end = value.iter().position(|&byte| byte == 0)?;
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    };
    let epoch = entry(EPOCH, TYPE_INT32).and_then(|value| Some(u32::from_be_bytes(*value.first_chunk()?)));
    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let version = format!("{epoch}{}-{}", text(VERSION)?, text(RELEASE)?);
    // Keys have none.
    Some(Package { name: text(NAME)?, version, architecture: text(ARCH).unwrap_or_default() })
}
