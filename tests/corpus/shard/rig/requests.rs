//! Requests as clients write them, with their twists.

use taciturn_stun::{AttributeType as T, Class, Method, Writer};
use taciturn_turn::auth::{PASSWORD_ALGORITHMS, long_term_key};

use super::super::steps::{Ask, AskFamily, AskPort, Lifetime, Twist};
use super::users::{USERS, User};
use super::{REALM, Rig, channel_number, pick};

impl Rig {
    /// Puts a request together as a client would, but for its twist.
    pub(super) fn request(
        &mut self,
        client: usize,
        user: usize,
        what: &Ask,
        twist: Twist,
    ) -> Vec<u8> {
        let method = match what {
            Ask::Binding => Method::BINDING,
            Ask::Allocate { .. } => Method::ALLOCATE,
            Ask::Refresh { .. } => Method::REFRESH,
            Ask::Permit { .. } => Method::CREATE_PERMISSION,
            Ask::Bind { .. } => Method::CHANNEL_BIND,
            Ask::Connect { .. } => Method::CONNECT,
            Ask::ConnectionBind { .. } => Method::CONNECTION_BIND,
            Ask::Odd { method, .. } => Method(method & 0xFFF),
        };
        let tid = self.fresh_tid();
        let mut buffer = vec![0; 70_000];
        let mut writer = Writer::new(&mut buffer, Class::Request, method, tid);
        self.attributes(what, &mut writer);
        if twist == Twist::UnknownAttribute {
            writer.attribute(T(0x7F00), b"?");
        }
        self.sign(client, &USERS[user], twist, &mut writer);
        if method == Method::BINDING || twist == Twist::Fingerprint {
            writer.fingerprint();
        }
        writer.finish().map_or_else(|_| Vec::new(), |len| buffer[..len].to_vec())
    }

    fn attributes(&self, what: &Ask, writer: &mut Writer<'_>) {
        let family = |family: AskFamily, writer: &mut Writer<'_>| {
            let (requested, additional) = match family {
                AskFamily::None => (None, None),
                AskFamily::V4 => (Some(1), None),
                AskFamily::V6 => (Some(2), None),
                AskFamily::Additional => (None, Some(2)),
                AskFamily::Both => (Some(1), Some(2)),
                AskFamily::Unknown(number) => (Some(number), None),
            };
            for (kind, number) in [
                (T::REQUESTED_ADDRESS_FAMILY, requested),
                (T::ADDITIONAL_ADDRESS_FAMILY, additional),
            ] {
                if let Some(number) = number {
                    writer.attribute(kind, &[number, 0, 0, 0]);
                }
            }
        };
        let lifetime = |lifetime: Lifetime, writer: &mut Writer<'_>| {
            match lifetime {
                Lifetime::None => {}
                Lifetime::Zero => drop(writer.lifetime(0)),
                Lifetime::Short(seconds) => drop(writer.lifetime(seconds.into())),
                Lifetime::Long(seconds) => drop(writer.lifetime(seconds)),
            };
        };
        match what {
            Ask::Binding => {}
            Ask::Allocate { tcp, family: asked, port, lifetime: wanted, extra } => {
                writer.requested_transport(if *tcp { 6 } else { 17 });
                family(*asked, writer);
                match port {
                    AskPort::Any => {}
                    AskPort::Even => drop(writer.attribute(T::EVEN_PORT, &[0])),
                    AskPort::EvenAndNext => drop(writer.attribute(T::EVEN_PORT, &[0x80])),
                    AskPort::Token(n) => {
                        let token = pick(&self.model.tokens, *n).map_or([0; 8], |token| token.0);
                        writer.attribute(T::RESERVATION_TOKEN, &token);
                    }
                    AskPort::WrongToken(token) => {
                        writer.attribute(T::RESERVATION_TOKEN, token);
                    }
                }
                lifetime(*wanted, writer);
                if extra & 7 == 1 {
                    writer.attribute(T::DONT_FRAGMENT, &[]);
                }
            }
            Ask::Refresh { lifetime: wanted, family: asked } => {
                lifetime(*wanted, writer);
                family(*asked, writer);
            }
            Ask::Permit { peers } => {
                for peer in peers.iter().take(40) {
                    writer.address(T::XOR_PEER_ADDRESS, self.peer(*peer));
                }
            }
            Ask::Bind { channel, peer } => {
                let [high, low] = channel_number(*channel).to_be_bytes();
                writer.attribute(T::CHANNEL_NUMBER, &[high, low, 0, 0]);
                writer.address(T::XOR_PEER_ADDRESS, self.peer(*peer));
            }
            Ask::Connect { peer } => {
                writer.address(T::XOR_PEER_ADDRESS, self.peer(*peer));
            }
            Ask::ConnectionBind { id } => {
                writer.connection_id(pick(&self.connection_ids, *id).unwrap_or(7));
            }
            Ask::Odd { attributes, .. } => {
                for (kind, value) in attributes {
                    writer.attribute(T(*kind), value);
                }
            }
        }
    }

    fn sign(&self, client: usize, user: &User, twist: Twist, writer: &mut Writer<'_>) {
        if twist == Twist::Unsigned {
            return;
        }
        let party = &self.parties[client];
        let nonce = match twist {
            Twist::OldNonce => &party.old_nonce,
            // That of another client: RFC 8656 section 7.1 has the nonce bound to nobody, this
            // server to the address.
            Twist::ForeignNonce => &self.parties[(client + 1) % self.parties.len()].nonce,
            _ => &party.nonce,
        };
        writer.attribute(T::USERNAME, user.name.as_bytes());
        writer.attribute(T::REALM, REALM.as_bytes());
        if twist != Twist::NoNonce {
            writer.attribute(T::NONCE, nonce);
        }
        match twist {
            Twist::Sha256 => {
                writer.attribute(T::PASSWORD_ALGORITHMS, &PASSWORD_ALGORITHMS);
                writer.attribute(T::PASSWORD_ALGORITHM, &PASSWORD_ALGORITHMS[..4]);
                writer.integrity_sha256(&user.sha256);
            }
            Twist::WrongPassword => {
                writer.integrity(&long_term_key(&user.name, REALM, "a wrong password"));
            }
            _ => {
                writer.integrity(&user.md5);
            }
        }
        if twist == Twist::AfterIntegrity {
            // RFC 8489 section 14.5: whoever adds these did not know the key.
            writer.lifetime(0).attribute(T::XOR_PEER_ADDRESS, &[0, 1, 0, 0, 0, 0, 0, 0]);
        }
    }
}
