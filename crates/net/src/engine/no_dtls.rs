//! Stands in for `dtls.rs` in a build without the feature: there are no DTLS clients.

use super::entered::Entered;
use crate::batch::system::Ingress;

pub(crate) const fn read(_: &mut Entered<'_>, _: u16, _: &mut Ingress) -> bool {
    false
}

pub(super) const fn handle_timeout(_: &mut Entered<'_>) {}

pub(super) const fn end_evicted(_: &mut Entered<'_>) {}

pub(crate) const fn leave_listener(_: &mut Entered<'_>, _: u16, _: bool) {}

pub(super) const fn shut_down(_: &mut Entered<'_>) {}
