//! What is around the records of a snapshot: magic, format, writer, length, checksum.

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::SnapshotError;
use super::format::{FORMAT, LONGEST, LONGEST_VERSION};

/// The first bytes.
const MAGIC: [u8; 8] = *b"TACITURN";

/// Bytes of the SHA-256 at the end.
const SUM: usize = 32;

/// Magic, format, length of the version, the version, length of the body.
const fn head_len(version: usize) -> usize {
    MAGIC.len() + 2 + 1 + version + 8
}

/// Puts what is written of `body` into an envelope. The bytes hold keys: they are wiped when dropped, and
/// written into memory of the right size, so that no buffer that grew leaves a copy behind.
pub(crate) fn seal(
    version: &str,
    body: &impl BorshSerialize,
) -> Result<Zeroizing<Vec<u8>>, SnapshotError> {
    let invalid = |error: borsh::io::Error| SnapshotError::Invalid(error.to_string());
    let version = version.get(..LONGEST_VERSION).unwrap_or(version);
    let body_len = borsh::object_length(body).map_err(invalid)?;
    let len = head_len(version.len()) + body_len + SUM;
    if len as u64 > LONGEST {
        return Err(SnapshotError::TooLong(len as u64));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(len));
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.push(u8::try_from(version.len()).unwrap_or_default());
    bytes.extend(version.as_bytes());
    bytes.extend((body_len as u64).to_le_bytes());
    body.serialize(&mut *bytes).map_err(invalid)?;
    let sum = Sha256::digest(&bytes[..]);
    bytes.extend(&sum[..]);
    Ok(bytes)
}

/// What an envelope holds.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) version: &'a str,
    pub(crate) body: &'a [u8],
}

/// Opens an envelope, and holds that it is whole and as it was written.
pub(crate) fn open(bytes: &[u8]) -> Result<Opened<'_>, SnapshotError> {
    let found = bytes.len() as u64;
    if found > LONGEST {
        return Err(SnapshotError::TooLong(found));
    }
    let rest = bytes.strip_prefix(&MAGIC).ok_or(SnapshotError::Foreign)?;
    let short = |expected: usize| SnapshotError::Length { found, expected: expected as u64 };
    let (format, rest) = rest.split_first_chunk().ok_or_else(|| short(head_len(0) + SUM))?;
    let (version_len, rest) = rest.split_first().ok_or_else(|| short(head_len(0) + SUM))?;
    let version_len = usize::from(*version_len);
    let head = head_len(version_len);
    let (version, rest) = rest.split_at_checked(version_len).ok_or_else(|| short(head + SUM))?;
    let printable = version.iter().all(u8::is_ascii_graphic) && version_len <= LONGEST_VERSION;
    let version = str::from_utf8(version).ok().filter(|_| printable);
    let version = version.ok_or(SnapshotError::Damaged)?;
    let format = u16::from_le_bytes(*format);
    if format > FORMAT {
        return Err(SnapshotError::Newer { format, writer: version.to_owned() });
    }
    let (body_len, rest) = rest.split_first_chunk().ok_or_else(|| short(head + SUM))?;
    let expected = u64::from_le_bytes(*body_len).saturating_add((head + SUM) as u64);
    if expected != found || format == 0 {
        return Err(SnapshotError::Length { found, expected });
    }
    let (body, sum) = rest.split_last_chunk::<SUM>().ok_or_else(|| short(head + SUM))?;
    let sealed = bytes.get(..bytes.len() - SUM).unwrap_or_default();
    if Sha256::digest(sealed)[..] != sum[..] {
        return Err(SnapshotError::Damaged);
    }
    Ok(Opened { version, body })
}

/// Reads a body to its last byte.
pub(crate) fn read_body<T: BorshDeserialize>(body: &[u8]) -> Result<T, SnapshotError> {
    borsh::from_slice(body).map_err(|error| SnapshotError::Invalid(error.to_string()))
}
