//! Ports that coturn serves and this server does not.

/// What coturn serves that the new listeners do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct LostPorts {
    /// UDP ports that lie within the relay ports.
    pub(in super::super) taken: Vec<u16>,
    /// Whether coturn also listens on the next port of each, for RFC 5780.
    pub(in super::super) next: bool,
}
