//! Every length that the kernel, or a caller, can name, at every place where the buffer can end.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

/// What a message may be: level, type, bytes of data that are read of it.
const KINDS: [(i32, i32, usize); 10] = [
    (libc::IPPROTO_IP, libc::IP_PKTINFO, 8),
    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 16),
    (libc::SOL_UDP, libc::UDP_GRO, 4),
    (libc::IPPROTO_IP, libc::IP_RECVERR, 12),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 12),
    (libc::SOL_SOCKET, 99, usize::MAX),
    (libc::IPPROTO_IP, libc::IP_TOS, 1),
    (libc::IPPROTO_IP, libc::IP_TTL, 1),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, 1),
    (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, 1),
];

/// A message at `at`, whose header claims `len` bytes; as much of it as fits. Its data are `fill`.
fn put(
    control: &mut Control,
    at: usize,
    len: usize,
    (level, kind, _): (i32, i32, usize),
    fill: u8,
) {
    let header = [&len.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes()].concat();
    let Some(place) = control.0.get_mut(at..) else { return };
    place.fill(fill);
    place.iter_mut().zip(header).for_each(|(to, from)| *to = from);
}

/// Every length of one message (0 to twice the buffer, those around the end of each half word, and the
/// longest), of each kind, at every place, with every end of the buffer up to twice its length: nothing
/// is read unless header and data lie before the end and are as long as the kind wants.
#[test]
fn no_length_of_a_message_and_no_end_of_the_buffer_is_read_over() {
    let lengths = (0..=2 * CONTROL).chain([
        usize::from(u16::MAX),
        u32::MAX as usize,
        usize::MAX / 2,
        usize::MAX - WORD,
        usize::MAX - 1,
        usize::MAX,
    ]);
    for len in lengths {
        for kind in KINDS {
            for at in (0..CONTROL).step_by(WORD) {
                let mut control = Control([0; CONTROL]);
                // What stands before is another message, which is passed over.
                if at >= HEADER {
                    put(&mut control, 0, at, KINDS[5], 0);
                }
                put(&mut control, at, len, kind, 1);
                let reached = at == 0 || at >= HEADER;
                for end in 0..=2 * CONTROL {
                    let whole = len >= HEADER
                        && at.checked_add(len).is_some_and(|to| to <= end.min(CONTROL));
                    let wanted = reached && whole && len - HEADER >= kind.2;
                    let told = read_control(&control, end);
                    let found = [
                        told.local.is_some(),
                        told.segment.is_some(),
                        told.traffic_class.is_some(),
                        told.hop_limit.is_some(),
                    ];
                    // An int of these bytes is no TOS: only a single byte is.
                    let byte = wanted && len == HEADER + 1;
                    let expected = match KINDS.iter().position(|known| *known == kind) {
                        Some(0 | 1) => [wanted, false, false, false],
                        Some(2) => [false, wanted, false, false],
                        Some(6 | 8) => [false, false, byte, false],
                        Some(7 | 9) => [false, false, false, byte],
                        _ => [false; 4],
                    };
                    assert_eq!(found, expected, "{kind:?} of {len} at {at}, end {end}");
                    if at == 0 {
                        // Origin 1 is the host itself, not ICMP.
                        assert_eq!(read_error(&control, end), None);
                    }
                }
            }
        }
    }
}

/// Both kinds of error with every length and end, and every origin: only whole ones of ICMP are told.
#[test]
fn errors_are_told_when_they_are_whole_and_of_icmp() {
    for kind in &KINDS[3..5] {
        for len in (0..=2 * CONTROL).chain([usize::MAX - WORD, usize::MAX]) {
            for origin in 0..=u8::MAX {
                let mut control = Control([0; CONTROL]);
                put(&mut control, 0, len, *kind, 7);
                control.0[HEADER + 4] = origin;
                let icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&origin);
                for end in
                    [0, HEADER, HEADER + 11, HEADER + 12, len.min(CONTROL), CONTROL, usize::MAX]
                {
                    let whole = len >= HEADER + 12 && len <= end.min(CONTROL);
                    let error = IcmpError { kind: 7, code: 7, mtu: 0x0707_0707 };
                    assert_eq!(read_error(&control, end), (icmp && whole).then_some(error));
                }
            }
        }
    }
}

/// Every place and every length of data, up to one more than the buffer: what fits lies there and is read
/// again, what does not fit changes nothing.
#[test]
fn what_fits_is_appended_and_what_does_not_leaves_the_buffer_as_it_was() {
    for used in (0..=CONTROL + WORD).step_by(WORD) {
        for len in 0..=CONTROL + 1 {
            let data: Vec<u8> = (1..).take(len).collect();
            let mut control = Control([0xEE; CONTROL]);
            let end = push_control(&mut control, used, -7, 9, &data);
            if used + space(len) > CONTROL {
                assert_eq!((end, control.0), (used, [0xEE; CONTROL]));
                continue;
            }
            assert_eq!(end, used + space(len));
            assert!(control.0[..used].iter().chain(&control.0[end..]).all(|byte| *byte == 0xEE));
            let mut rest = &control.0[used..end];
            let message = take(&mut rest).unwrap();
            assert_eq!((message.level, message.kind, message.data), (-7, 9, &data[..]));
            assert!(rest.is_empty());
        }
    }
}

/// Every TOS and TTL before an error of each family, as the kernel tells them where a socket was asked for all.
#[test]
fn an_error_is_found_behind_what_else_is_told() {
    for (v6, kind) in [(false, KINDS[3]), (true, KINDS[4])] {
        for value in 0..=u8::MAX {
            let mut control = Control([0; CONTROL]);
            let asked =
                Asked { traffic_class: value, hop_limit: Some(value), v6, ..Asked::default() };
            let at = write_control(&mut control, asked);
            put(&mut control, at, HEADER + 44, kind, 7);
            control.0[at + HEADER + 4] = match v6 {
                true => libc::SO_EE_ORIGIN_ICMP6,
                false => libc::SO_EE_ORIGIN_ICMP,
            };
            let error = IcmpError { kind: 7, code: 7, mtu: 0x0707_0707 };
            assert_eq!(read_error(&control, at + space(44)), Some(error));
            assert_eq!(read_error(&control, at), None);
        }
    }
}

/// Every TOS and TTL, and the int below and above, as a byte and as an int.
#[test]
fn fields_of_the_ip_header_are_read_as_the_kernel_writes_them() {
    for (level, class, hops) in [
        (libc::IPPROTO_IP, libc::IP_TOS, libc::IP_TTL),
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT),
    ] {
        for value in -1..=256_i32 {
            let expected = u8::try_from(value).ok();
            let mut control = Control([0; CONTROL]);
            let used = push_control(&mut control, 0, level, class, &value.to_ne_bytes());
            let used = push_control(&mut control, used, level, hops, &value.to_ne_bytes());
            let told = read_control(&control, used);
            assert_eq!((told.traffic_class, told.hop_limit), (expected, expected));
            if let Some(byte) = expected {
                let used = push_control(&mut control, 0, level, class, &[byte]);
                assert_eq!(read_control(&control, used).traffic_class, expected);
            }
        }
    }
}

//= 8656-14-dscp, 8656-14-ecn, 8656-13-traffic-class
/// Every traffic class and hop limit of each family: as ints of that family, and not at all where it is the
/// system's default.
#[test]
fn what_is_the_default_is_not_asked_for() {
    for v6 in [false, true] {
        for traffic_class in 0..=u8::MAX {
            for hop_limit in [None, Some(1), Some(traffic_class)] {
                let asked = Asked { traffic_class, hop_limit, v6, ..Asked::default() };
                let mut control = Control([0xEE; CONTROL]);
                let used = write_control(&mut control, asked);
                let told = read_control(&control, used);
                assert_eq!(told.traffic_class, (traffic_class > 0).then_some(traffic_class));
                assert_eq!(told.hop_limit, hop_limit);
                let mut rest = &control.0[..used];
                let mut count = 0;
                while let Some(message) = take(&mut rest) {
                    let level = if v6 { libc::IPPROTO_IPV6 } else { libc::IPPROTO_IP };
                    assert_eq!((message.level, message.data.len()), (level, size_of::<i32>()));
                    count += 1;
                }
                let expected = usize::from(traffic_class > 0) + usize::from(hop_limit.is_some());
                assert_eq!((count, rest.len()), (expected, 0));
            }
        }
    }
}

/// Every segment with no source and one of each family.
#[test]
fn source_and_segment_are_written_as_two_messages() {
    let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));
    for source in [None, Some(v4), Some(v6)] {
        for segment in 0..=u16::MAX {
            let mut control = Control([0xEE; CONTROL]);
            let used = write_control(&mut control, Asked { source, segment, ..Asked::default() });
            assert_eq!(read_control(&control, used).local, source);
            let mut rest = &control.0[..used];
            if source.is_some() {
                take(&mut rest).unwrap();
            }
            let cut = take(&mut rest);
            let cut = cut.map(|message| (message.level, message.kind, message.data.to_vec()));
            let expected = (libc::SOL_UDP, libc::UDP_SEGMENT, segment.to_ne_bytes().to_vec());
            assert_eq!(cut, (segment > 0).then_some(expected));
            assert!(rest.is_empty());
        }
    }
}

/// Every number that UDP_GRO can tell near 0 and at the ends, and one that lacks bytes.
#[test]
fn a_length_of_segments_is_above_zero_or_none() {
    for size in (-70_000..=70_000).chain([i32::MIN, i32::MAX]) {
        let mut control = Control([0; CONTROL]);
        let used = push_control(&mut control, 0, libc::SOL_UDP, libc::UDP_GRO, &size.to_ne_bytes());
        let segment = read_control(&control, used).segment;
        assert_eq!(segment, usize::try_from(size).ok().filter(|size| *size > 0));
    }
    assert_eq!(read_control(&Control([0; CONTROL]), CONTROL), Told::default());
}
