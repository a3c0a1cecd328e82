//! What rustls says, in words for people. Its own `Display` prints the names of its types for many errors.

use rustls::{AlertDescription, CertificateError, Error};

/// Why TLS failed.
pub(crate) fn of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(fault) => of_certificate(fault).to_owned(),
        Error::AlertReceived(alert) => format!("the server ended it ({})", of_alert(*alert)),
        Error::InvalidMessage(_) => "what comes back is no TLS".to_owned(),
        Error::PeerIncompatible(_) => {
            "the server offers no version or method of TLS 1.2 or 1.3 that this program knows"
                .to_owned()
        }
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => {
            "the server breaks the rules of TLS".to_owned()
        }
        Error::NoCertificatesPresented => "the server presents no certificate".to_owned(),
        Error::NoApplicationProtocol => {
            "the two sides have no protocol in common (ALPN)".to_owned()
        }
        Error::DecryptError => "what comes back cannot be decrypted".to_owned(),
        Error::PeerSentOversizedRecord => "the server sends a record that is too large".to_owned(),
        Error::FailedToGetCurrentTime => "the time of this machine is not known".to_owned(),
        Error::FailedToGetRandomBytes => "this machine gives no random numbers".to_owned(),
        Error::General(text) => text.clone(),
        _ => "the handshake failed".to_owned(),
    }
}

/// Why a certificate is refused.
pub(crate) fn of_certificate(fault: &CertificateError) -> &'static str {
    use CertificateError as E;
    match fault {
        E::BadEncoding => "it cannot be read",
        E::Expired | E::ExpiredContext { .. } => "it has ended",
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet",
        E::Revoked => "it is revoked",
        E::UnknownIssuer => {
            "its issuer is not known: it leads to no authority that is trusted here"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => "it is for another name",
        E::BadSignature => "its signature is wrong",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "it is not for servers (extended key usage)"
        }
        E::UnhandledCriticalExtension => {
            "it has a critical extension that this program does not know"
        }
        E::Other(_) => "it is not one for a server: it may be that of an authority (CA:TRUE)",
        _ => "its signature or its form is not accepted",
    }
}

fn of_alert(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::HandshakeFailure => "alert handshake failure: no certificate or method that fits",
        A::ProtocolVersion => "alert protocol version: it speaks another version of TLS",
        A::UnrecognisedName => "alert unrecognized name: it has no certificate for this name",
        A::CertificateRequired => {
            "alert certificate required: it wants a certificate of the client"
        }
        A::InternalError => "alert internal error: often a certificate and a key that do not fit",
        A::AccessDenied => "alert access denied",
        A::CloseNotify => "it closed the connection",
        A::NoApplicationProtocol => "alert no application protocol (ALPN)",
        A::InsufficientSecurity => "alert insufficient security",
        _ => "an alert of TLS",
    }
}

#[cfg(test)]
mod tests {
    use rustls::{
        AlertDescription as A, CertificateError as C, InvalidMessage, PeerIncompatible,
        PeerMisbehaved,
    };

    use super::*;

    /// Names of types have capitals inside of a word.
    fn is_plain(text: &str) -> bool {
        let mut words = text.split(|c: char| !c.is_alphabetic());
        !text.contains(['{', '}'])
            && !words.any(|w| w.len() > 4 && w.chars().skip(1).any(char::is_uppercase))
    }

    #[test]
    fn no_name_of_a_type_is_printed() {
        for error in [
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerMisbehaved(PeerMisbehaved::TooMuchEarlyDataReceived),
            Error::NoCertificatesPresented,
            Error::DecryptError,
            Error::NoApplicationProtocol,
            Error::HandshakeNotComplete,
            Error::BadMaxFragmentSize,
        ] {
            assert!(is_plain(&of(&error)), "{}", of(&error));
        }
        for fault in [
            C::BadEncoding,
            C::Expired,
            C::UnknownIssuer,
            C::InvalidPurpose,
            C::BadSignature,
            C::ApplicationVerificationFailure,
            C::UnknownRevocationStatus,
            C::UnhandledCriticalExtension,
        ] {
            assert!(is_plain(of_certificate(&fault)), "{fault:?}");
        }
        for alert in [
            A::HandshakeFailure,
            A::ProtocolVersion,
            A::UnknownCA,
            A::DecodeError,
            A::InternalError,
        ] {
            assert!(is_plain(&of(&Error::AlertReceived(alert))), "{alert:?}");
        }
        assert!(!is_plain("CaUsedAsEndEntity") && !is_plain("Other(x{})"));
    }
}
