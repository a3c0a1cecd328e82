//! Stands in for `dtls.rs` in a build without the feature: there are no DTLS clients.

use std::net::IpAddr;

use super::entered::Entered;
use crate::batch::system::Ingress;

pub(crate) const fn serve(
    _: &mut Entered<'_>,
    _: u16,
    _: IpAddr,
    _: &Ingress,
    _: fn(&[u8]) -> bool,
) {
}

pub(super) const fn handle_timeout(_: &mut Entered<'_>) {}

pub(super) const fn end_evicted(_: &mut Entered<'_>) {}

pub(crate) const fn leave_listener(_: &mut Entered<'_>, _: u16, _: bool) {}

pub(crate) const fn shut_down(_: &mut Entered<'_>) {}
