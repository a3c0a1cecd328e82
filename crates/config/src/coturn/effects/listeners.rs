//! Ports, addresses and transports.

use std::net::Ipv4Addr;

use super::super::addresses;
use super::super::collected::{Collected, Given, Judgement, same};
use super::port as number;

pub(in super::super) fn port(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.port = Some(number(given.value)?);
    given.taken()
}

pub(in super::super) fn tls_port(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.tls_port = Some(number(given.value)?);
    given.taken()
}

pub(in super::super) fn alt_port(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    let port = number(given.value)?;
    collected.alt_port = Some(port).filter(|port| *port != 0);
    given.taken()
}

pub(in super::super) fn alt_tls_port(
    collected: &mut Collected,
    given: &mut Given<'_>,
) -> Judgement {
    let port = number(given.value)?;
    collected.alt_tls_port = Some(port).filter(|port| *port != 0);
    given.taken()
}

pub(in super::super) fn proxy_port(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.proxy_port = Some(number(given.value)?);
    given.remark(
        "coturn believes the PROXY header of anybody; here trusted_proxies says whose. The private networks are \
         written: leave only your proxy",
    );
    given.taken()
}

pub(in super::super) fn address(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    let address = match given.value {
        "" => Ipv4Addr::UNSPECIFIED.into(),
        text => addresses::ip(text)?,
    };
    collected.addresses.push(address);
    given.taken()
}

pub(in super::super) fn aux(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.aux.push(addresses::ip_port(given.value)?);
    given.taken()
}

pub(in super::super) fn no_udp(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.no_udp = given.on;
    given.taken()
}

pub(in super::super) fn no_tcp(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.no_tcp = given.on;
    given.taken()
}

pub(in super::super) fn no_tls(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.no_tls = given.on;
    given.taken()
}

pub(in super::super) fn dtls(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.dtls = Some(given.on);
    given.taken()
}

pub(in super::super) fn no_dtls(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.dtls = Some(!given.on);
    match given.on {
        true => same("DTLS is off without a [[listen]] section for it"),
        false => given.taken(),
    }
}
