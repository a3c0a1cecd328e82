//! How clients reach a listener.

/// How clients reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// STUN and TURN over UDP.
    Udp,
    /// Over TCP.
    Tcp,
    /// Over TLS.
    Tls,
    /// Over DTLS.
    Dtls,
    /// TCP and TLS on one port, told apart by the first byte.
    Auto,
    /// UDP and DTLS on one port, told apart by the first byte of each datagram (RFC 7983).
    UdpAndDtls,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Udp, Self::Tcp, Self::Tls, Self::Dtls, Self::Auto, Self::UdpAndDtls];

    /// The transport of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == name.trim())
    }

    /// Its name in the configuration: `udp`, `tcp`, `tls`, `dtls`, `auto`, `udp+dtls`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
            Self::Auto => "auto",
            Self::UdpAndDtls => "udp+dtls",
        }
    }

    /// Whether it needs a certificate.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Dtls | Self::Auto | Self::UdpAndDtls)
    }

    /// Whether it takes a UDP port, not a TCP port.
    #[must_use]
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::Dtls | Self::UdpAndDtls)
    }

    /// Whether it serves clients both with and without encryption, on one port.
    #[must_use]
    pub const fn is_mixed(self) -> bool {
        matches!(self, Self::Auto | Self::UdpAndDtls)
    }
}
