//! Inputs that are several datagrams: each behind its length, two bytes.

/// The datagrams in `bytes`; the last one may be cut.
pub(crate) fn of(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (datagram, behind) = behind.split_at(length);
        rest = behind;
        Some(datagram)
    })
}
