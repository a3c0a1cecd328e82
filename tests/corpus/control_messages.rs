//! Any bytes as what the kernel tells beside a datagram.

use taciturn_net::control_messages::{
    Asked, CONTROL, Control, Told, read_control, read_error, write_control,
};

/// Reads the bytes as control messages: behind the first byte, which says how many of them count.
pub(crate) fn run(bytes: &[u8]) {
    let Some((&len, bytes)) = bytes.split_first() else { return };
    let len = usize::from(len);
    let mut control = Control([0; CONTROL]);
    control.0.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);

    let messages = messages(&control.0[..len.min(CONTROL)]);
    let told = read_control(&control, len);
    let last = |level, kind, enough| {
        let of_kind = |message: &&Message<'_>| message.is(level, kind, enough);
        messages.iter().rev().find(of_kind).map(|message| message.data)
    };
    let v4 = last(libc::IPPROTO_IP, libc::IP_PKTINFO, 8);
    let v6 = last(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 16);
    match told.local {
        None => assert!(v4.is_none() && v6.is_none()),
        Some(std::net::IpAddr::V4(ip)) => {
            assert_eq!(v4.map(|data| &data[4..8]), Some(&ip.octets()[..]))
        }
        Some(std::net::IpAddr::V6(ip)) => {
            assert_eq!(v6.map(|data| &data[..16]), Some(&ip.octets()[..]))
        }
    }
    let gro = last(libc::SOL_UDP, libc::UDP_GRO, 4);
    let gro = gro.map(|data| i32::from_ne_bytes([data[0], data[1], data[2], data[3]]));
    assert_eq!(
        told.segment,
        gro.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0)
    );

    let class = [(libc::IPPROTO_IP, libc::IP_TOS), (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)];
    assert_eq!(told.traffic_class, last_byte(&messages, class));
    let hops = [(libc::IPPROTO_IP, libc::IP_TTL), (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)];
    assert_eq!(told.hop_limit, last_byte(&messages, hops));

    if let Some(error) = read_error(&control, len) {
        let about_errors = |message: &&Message<'_>| {
            message.is(libc::IPPROTO_IP, libc::IP_RECVERR, 0)
                || message.is(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 0)
        };
        let first = messages.iter().find(about_errors).unwrap();
        assert!(first.data.len() >= 12);
        assert_eq!((error.kind, error.code), (first.data[5], first.data[6]));
    }

    // What would be sent back by it is read alike, and nothing else is in it.
    let segment = u16::try_from(told.segment.unwrap_or(0)).unwrap_or(u16::MAX);
    let mut answer = Control([len as u8; CONTROL]);
    let Told { local: source, traffic_class, hop_limit, .. } = told;
    let traffic_class = traffic_class.unwrap_or(0);
    let v6 = len.is_multiple_of(2);
    let asked = Asked { source, segment, traffic_class, hop_limit, v6 };
    let used = write_control(&mut answer, asked);
    let traffic_class = (traffic_class > 0).then_some(traffic_class);
    assert_eq!(
        read_control(&answer, used),
        Told { local: source, segment: None, traffic_class, hop_limit }
    );
    let fields = [source.is_some(), segment > 0, traffic_class.is_some(), hop_limit.is_some()];
    let count = fields.into_iter().filter(|is_there| *is_there).count();
    assert_eq!(self::messages(&answer.0[..used]).len(), count);
}

/// What the last message of these kinds says: a byte, or an int that fits one.
fn last_byte(messages: &[Message<'_>], kinds: [(i32, i32); 2]) -> Option<u8> {
    let of_kind = |message: &&Message<'_>| kinds.contains(&(message.level, message.kind));
    match messages.iter().rev().find(of_kind)?.data {
        [byte] => Some(*byte),
        [a, b, c, d, ..] => u8::try_from(i32::from_ne_bytes([*a, *b, *c, *d])).ok(),
        _ => None,
    }
}

/// A control message as cmsg(3) describes it.
struct Message<'a> {
    level: i32,
    kind: i32,
    data: &'a [u8],
}

impl Message<'_> {
    fn is(&self, level: i32, kind: i32, enough: usize) -> bool {
        (self.level, self.kind) == (level, kind) && self.data.len() >= enough
    }
}

/// The whole messages at the front of `bytes`.
fn messages(bytes: &[u8]) -> Vec<Message<'_>> {
    const WORD: usize = size_of::<usize>();
    let (mut found, mut at) = (Vec::new(), 0);
    while at + WORD + 8 <= bytes.len() {
        let len = usize::from_ne_bytes(bytes[at..at + WORD].try_into().unwrap());
        let number = |at: usize| i32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        if len < WORD + 8 || len > bytes.len() - at {
            break;
        }
        let (level, kind) = (number(at + WORD), number(at + WORD + 4));
        found.push(Message { level, kind, data: &bytes[at + WORD + 8..at + len] });
        at += len.div_ceil(WORD) * WORD;
    }
    found
}
