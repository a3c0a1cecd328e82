//! When to look at which DTLS connection again: one heap for each worker.

/// A connection of this worker. Numbers are used again; the generation tells old from new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DtlsClientId {
    pub(super) number: u32,
    pub(super) generation: u32,
}

/// Each connection is queued for one deadline at a time. That a deadline has moved on is found out
/// when the old one is reached, so a packet costs nothing here.
pub(super) type Deadlines = taciturn_turn::Deadlines<DtlsClientId>;
