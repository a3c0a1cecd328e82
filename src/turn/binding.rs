//! Binding (RFC 8489 section 12): a stateless answer, without authentication.

use super::request::{Answer, Request};
use crate::stun::{AttributeType, Writer};

/// Tells the client its address as it is seen from here.
//= 8489-12-binding
pub(super) fn answer(request: &Request<'_>, writer: &mut Writer<'_>) -> Answer {
    writer.address(AttributeType::XOR_MAPPED_ADDRESS, request.client.remote.0);
    Ok(())
}
