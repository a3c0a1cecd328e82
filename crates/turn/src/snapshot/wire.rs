//! How single values are written in a snapshot: with borsh, so numbers have a fixed width and there is one way
//! to write a value. What is read is checked as far as a value can be by itself.

use std::fmt;
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use crate::clock::Remaining;
use crate::tenant::TenantName;
use crate::user::UserId;

/// Bytes of a username or realm, as RFC 8489 sections 14.3 and 14.9 have them at the most, and some more.
const LONGEST_NAME: u32 = 1024;

/// A value that cannot be.
pub(crate) fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// Something with its length in front. Whoever reads it skips what stands behind the fields that it knows:
/// a later version of the same format may have written more.
#[derive(Debug)]
pub(crate) struct Record<T>(pub(crate) T);

impl<T: BorshSerialize> BorshSerialize for Record<T> {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        let len = u32::try_from(borsh::object_length(&self.0)?);
        len.map_err(|_| invalid("a record is too long"))?.serialize(writer)?;
        self.0.serialize(writer)
    }
}

impl<T: BorshDeserialize> BorshDeserialize for Record<T> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let len = u32::deserialize_reader(reader)?;
        let mut within = reader.take(len.into());
        let value = T::deserialize_reader(&mut within)?;
        let unknown = within.limit();
        match io::copy(&mut within, &mut io::sink())? == unknown {
            true => Ok(Self(value)),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// What is at the end of a [`Record`] or not there: an earlier version has not written it.
#[derive(Debug)]
pub(crate) struct Trailing<T>(pub(crate) Option<T>);

impl<T> From<Option<T>> for Trailing<T> {
    fn from(value: Option<T>) -> Self {
        Self(value)
    }
}

impl<T: BorshSerialize> BorshSerialize for Trailing<T> {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        self.0.serialize(writer)
    }
}

impl<T: BorshDeserialize> BorshDeserialize for Trailing<T> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let mut there = [0];
        match reader.read(&mut there)? {
            0 => Ok(Self(None)),
            _ if there == [0] => Ok(Self(None)),
            _ if there == [1] => T::deserialize_reader(reader).map(Some).map(Self),
            _ => Err(invalid("something is neither there nor missing")),
        }
    }
}

/// 32 bytes that nobody may see; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) Zeroizing<[u8; 32]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl BorshSerialize for Secret {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&self.0[..])
    }
}

impl BorshDeserialize for Secret {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        reader.read_exact(&mut bytes[..])?;
        Ok(Self(bytes))
    }
}

/// In nanoseconds; 584 years fit.
impl BorshSerialize for Remaining {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX).serialize(writer)
    }
}

impl BorshDeserialize for Remaining {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        u64::deserialize_reader(reader).map(Duration::from_nanos).map(Self)
    }
}

/// The realm and the name. Of a tenant's user the name of the tenant follows the realm, behind a zero byte, which
/// no realm has: so a version that knows no tenants keeps them apart as well.
impl BorshSerialize for UserId {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        match self.tenant().name() {
            None => (self.realm(), self.name()).serialize(writer),
            Some(tenant) => (format!("{}\0{tenant}", self.realm()), self.name()).serialize(writer),
        }
    }
}

impl BorshDeserialize for UserId {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let (realm, name) = (read_name(reader)?, read_name(reader)?);
        let (realm, tenant) = match realm.split_once('\0') {
            None => (realm.as_str(), TenantName::default()),
            Some((realm, tenant)) => {
                let tenant: TenantName = tenant.parse().map_err(|_| invalid("no tenant's name"))?;
                (realm, tenant)
            }
        };
        Ok(Self::new(&Arc::from(realm), name).of_tenant(&tenant))
    }
}

/// The word for it.
impl BorshSerialize for TenantName {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        self.to_string().serialize(writer)
    }
}

impl BorshDeserialize for TenantName {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        read_name(reader)?.parse().map_err(|_| invalid("no tenant's name"))
    }
}

/// A field that a later version has added to the end of a [`Record`]: where it is not there, it is the default.
pub(crate) mod added {
    use super::*;

    pub(crate) fn read<R: Read, T: BorshDeserialize + Default>(reader: &mut R) -> io::Result<T> {
        let mut first = [0];
        match reader.read(&mut first)? {
            0 => Ok(T::default()),
            _ => T::deserialize_reader(&mut (&first[..]).chain(reader)),
        }
    }
}

fn read_name<R: Read>(reader: &mut R) -> io::Result<String> {
    let len = u32::deserialize_reader(reader)?;
    if len > LONGEST_NAME {
        return Err(invalid("a name is too long"));
    }
    let mut bytes = vec![0; len as usize];
    reader.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| invalid("a name is not text"))
}

/// An age: milliseconds.
pub(crate) mod age {
    use super::*;

    pub(crate) fn write<W: Write>(age: &Duration, writer: &mut W) -> io::Result<()> {
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX).serialize(writer)
    }

    pub(crate) fn read<R: Read>(reader: &mut R) -> io::Result<Duration> {
        u64::deserialize_reader(reader).map(Duration::from_millis)
    }
}

/// An address and port, with all that tells one of IPv6 from another.
pub(crate) mod address {
    use super::*;

    pub(crate) fn write<W: Write>(address: &SocketAddr, writer: &mut W) -> io::Result<()> {
        (address.ip(), address.port()).serialize(writer)?;
        match address {
            SocketAddr::V4(_) => Ok(()),
            SocketAddr::V6(v6) => (v6.flowinfo(), v6.scope_id()).serialize(writer),
        }
    }

    pub(crate) fn read<R: Read>(reader: &mut R) -> io::Result<SocketAddr> {
        let (ip, port) = <(IpAddr, u16)>::deserialize_reader(reader)?;
        Ok(match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, port),
            IpAddr::V6(v6) => {
                let (flow, scope) = <(u32, u32)>::deserialize_reader(reader)?;
                SocketAddrV6::new(v6, port, flow, scope).into()
            }
        })
    }
}

/// An address family, by its number in STUN.
pub(crate) mod family {
    use super::*;
    use taciturn_stun::Family;

    pub(crate) fn write<W: Write>(family: &Family, writer: &mut W) -> io::Result<()> {
        family.number().serialize(writer)
    }

    pub(crate) fn read<R: Read>(reader: &mut R) -> io::Result<Family> {
        let number = u8::deserialize_reader(reader)?;
        Family::from_number(number).ok_or_else(|| invalid("an unknown address family"))
    }
}

/// A channel number.
pub(crate) mod channel {
    use super::*;
    use taciturn_stun::ChannelNumber;

    pub(crate) fn write<W: Write>(channel: &ChannelNumber, writer: &mut W) -> io::Result<()> {
        channel.number().serialize(writer)
    }

    pub(crate) fn read<R: Read>(reader: &mut R) -> io::Result<ChannelNumber> {
        let number = u16::deserialize_reader(reader)?;
        ChannelNumber::new(number).ok_or_else(|| invalid("not a channel number"))
    }
}

/// A transaction id.
pub(crate) mod transaction {
    use super::*;
    use taciturn_stun::TransactionId;

    pub(crate) fn write<W: Write>(tid: &TransactionId, writer: &mut W) -> io::Result<()> {
        tid.0.serialize(writer)
    }

    pub(crate) fn read<R: Read>(reader: &mut R) -> io::Result<TransactionId> {
        <[u8; 12]>::deserialize_reader(reader).map(TransactionId)
    }
}

/// The key of a credential: the number of its algorithm, and 32 bytes, which a key of 16 does not fill.
pub(crate) mod key {
    use super::*;
    use taciturn_stun::{LongTermKey, PasswordAlgorithm};

    pub(crate) fn write<W: Write>(key: &LongTermKey, writer: &mut W) -> io::Result<()> {
        key.algorithm().number().serialize(writer)?;
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.iter_mut().zip(key.bytes()).for_each(|(to, from)| *to = *from);
        Secret(bytes).serialize(writer)
    }

    pub(crate) fn read<R: Read>(reader: &mut R) -> io::Result<LongTermKey> {
        let number = u16::deserialize_reader(reader)?;
        let Secret(bytes) = Secret::deserialize_reader(reader)?;
        let algorithms = [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256];
        match algorithms.into_iter().find(|algorithm| algorithm.number() == number) {
            Some(PasswordAlgorithm::Md5) => {
                let (key, rest) =
                    bytes.split_first_chunk().ok_or_else(|| invalid("a short key"))?;
                match rest {
                    [0, ..] if rest.iter().all(|byte| *byte == 0) => Ok(LongTermKey::md5(*key)),
                    _ => Err(invalid("a key of another algorithm")),
                }
            }
            Some(PasswordAlgorithm::Sha256) => Ok(LongTermKey::sha256(*bytes)),
            None => Err(invalid("an unknown password algorithm")),
        }
    }
}

/// An error code that this server answers with, and the address family that it is about.
pub(crate) mod address_error {
    use super::*;
    use taciturn_stun::{ErrorCode, Family};

    pub(crate) fn write<W: Write>(
        error: &Option<(Family, ErrorCode)>,
        writer: &mut W,
    ) -> io::Result<()> {
        error.map(|(family, code)| (family.number(), code.number())).serialize(writer)
    }

    pub(crate) fn read<R: Read>(reader: &mut R) -> io::Result<Option<(Family, ErrorCode)>> {
        let Some((family, code)) = Option::<(u8, u16)>::deserialize_reader(reader)? else {
            return Ok(None);
        };
        let family =
            Family::from_number(family).ok_or_else(|| invalid("an unknown address family"))?;
        let code = ErrorCode::known(code).ok_or_else(|| invalid("an unknown error code"))?;
        Ok(Some((family, code)))
    }
}

#[cfg(test)]
mod tests {
    use borsh::{from_slice, to_vec};

    use super::*;
    use taciturn_stun::{Family, LongTermKey};

    #[test]
    fn what_a_later_version_has_added_to_a_record_is_skipped() {
        let later = to_vec(&(Record((7_u8, 9_u32, "more")), 5_u16)).unwrap();
        let (Record(known), next): (Record<(u8, u32)>, u16) = from_slice(&later).unwrap();
        assert_eq!((known, next), ((7, 9), 5));
        // An earlier one has written less than is needed.
        let earlier = to_vec(&(Record(7_u8), [0; 9])).unwrap();
        assert!(from_slice::<(Record<(u8, u32)>, [u8; 5])>(&earlier).is_err());
    }

    #[test]
    fn a_record_ends_where_the_bytes_do() {
        let whole = to_vec(&Record([7_u8; 9])).unwrap();
        for len in 0..whole.len() {
            assert!(from_slice::<Record<[u8; 4]>>(&whole[..len]).is_err(), "{len}");
        }
    }

    /// Writes and reads a value with two functions of this module.
    macro_rules! carried {
        ($module:ident, $value:expr) => {{
            let mut bytes = Vec::new();
            $module::write(&$value, &mut bytes).unwrap();
            $module::read(&mut &bytes[..])
        }};
    }

    #[test]
    fn addresses_keep_what_tells_them_apart() {
        let scoped = SocketAddr::from(SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 5, 3));
        for at in [scoped, "[2001:db8::1]:9".parse().unwrap(), "192.0.2.1:9".parse().unwrap()] {
            assert_eq!(carried!(address, at).unwrap(), at);
        }
    }

    #[test]
    fn users_keep_their_tenant_and_those_of_none_are_written_as_ever() {
        let alice = UserId::of_tests("alice");
        let ours = to_vec(&alice).unwrap();
        assert_eq!(ours, to_vec(&("example.org", "alice")).unwrap());
        let theirs = alice.clone().of_tenant(&"acme".parse().unwrap());
        for user in [alice, theirs] {
            assert_eq!(from_slice::<UserId>(&to_vec(&user).unwrap()).unwrap(), user);
        }
        for realm in ["example.org\0", "example.org\0a b", "example.org\0a\0b"] {
            assert!(
                from_slice::<UserId>(&to_vec(&(realm, "alice")).unwrap()).is_err(),
                "{realm:?}"
            );
        }
    }

    #[test]
    fn keys_keep_their_length_and_algorithm() {
        for written in [LongTermKey::md5([7; 16]), LongTermKey::sha256([9; 32])] {
            let read = carried!(key, written).unwrap();
            assert_eq!((read.bytes(), read.algorithm()), (written.bytes(), written.algorithm()));
        }
        let mut longer = to_vec(&(1_u16, [7_u8; 32])).unwrap();
        assert!(key::read(&mut &longer[..]).is_err(), "32 bytes of MD5");
        longer[0] = 3;
        assert!(key::read(&mut &longer[..]).is_err(), "an unknown algorithm");
    }

    #[test]
    fn durations_and_families_are_as_they_were_or_as_near_as_can_be() {
        let carried = |span| from_slice::<Remaining>(&to_vec(&Remaining(span)).unwrap()).unwrap().0;
        let exact = Duration::new(300, 7);
        assert_eq!((carried(exact), carried(Duration::MAX).as_nanos()), (exact, u64::MAX.into()));
        assert_eq!(carried!(age, exact).unwrap(), Duration::from_secs(300));
        assert_eq!(carried!(family, Family::V6).unwrap(), Family::V6);
        assert!(family::read(&mut &[3][..]).is_err());
        assert!(channel::read(&mut &[0xFF, 0xFF][..]).is_err());
        assert!(address_error::read(&mut &[1, 1, 99, 0][..]).is_err());
    }
}
