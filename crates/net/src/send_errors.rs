//! What was to be sent and was not, by reason. Plain numbers, counted where an error is at hand
//! anyway.

use std::io;

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Loss {
    /// The socket's or the device's buffer is full.
    BufferFull,
    /// There is no way there, or the network is down.
    Unreachable,
    /// A firewall of this host refuses it.
    Forbidden,
    /// Longer than a datagram, or than the path takes with DF.
    TooLong,
    /// Another error of the system.
    Other,
    /// A client on a connection reads too slowly for its media.
    SlowClient,
    /// Longer than a record of DTLS holds.
    RecordTooLong,
    /// The DTLS connection has ended.
    Closed,
    /// It came with a TTL or hop limit that was used up.
    HopLimit,
}

impl Loss {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::BufferFull,
        Self::Unreachable,
        Self::Forbidden,
        Self::TooLong,
        Self::Other,
        Self::SlowClient,
        Self::RecordTooLong,
        Self::Closed,
        Self::HopLimit,
    ];

    /// Returns what an error of sending a datagram means.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Self::BufferFull,
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EADDRNOTAVAIL) => {
                Self::Unreachable
            }
            Some(libc::EPERM | libc::EACCES) => Self::Forbidden,
            Some(libc::EMSGSIZE) => Self::TooLong,
            _ => Self::Other,
        }
    }

    /// Returns its name among the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::Unreachable => "unreachable",
            Self::Forbidden => "forbidden",
            Self::TooLong => "too_long",
            Self::Other => "other",
            Self::SlowClient => "slow_client",
            Self::RecordTooLong => "record_too_long",
            Self::Closed => "closed",
            Self::HopLimit => "hop_limit",
        }
    }
}

/// How often each of them has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; Loss::ALL.len()]);

impl Losses {
    /// One more packet.
    pub(super) fn count(&mut self, loss: Loss) {
        self.add(loss, 1);
    }

    /// So many more.
    pub(super) fn add(&mut self, loss: Loss, more: u64) {
        if let Some(count) = self.0.get_mut(loss as usize) {
            *count += more;
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Each reason and how often it has come.
    pub fn iter(&self) -> impl Iterator<Item = (Loss, u64)> {
        Loss::ALL.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_have_their_reason() {
        for (code, loss) in [
            (libc::EAGAIN, Loss::BufferFull),
            (libc::ENETUNREACH, Loss::Unreachable),
            (libc::EPERM, Loss::Forbidden),
            (libc::EMSGSIZE, Loss::TooLong),
            (libc::EINVAL, Loss::Other),
        ] {
            assert_eq!(Loss::of(&io::Error::from_raw_os_error(code)), loss);
        }
    }

    #[test]
    fn each_is_counted_for_itself() {
        let mut losses = Losses::default();
        for loss in Loss::ALL {
            losses.add(loss, loss as u64 + 1);
        }
        losses.count(Loss::Closed);
        let counts: Vec<_> = losses.iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 9, 9]);
    }
}
