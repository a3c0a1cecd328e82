//! ChannelBind (RFC 8656 section 12).

use std::time::Duration;

use super::allocations::{Channel, Conflict};
use super::announcing::announce;
use super::cause::Cause;
use super::context::{Context, Request};
use super::create_permission::{PERMISSION_LIFETIME, judge_peer, make_room};
use super::effects::Outside;
use super::failure::{Answer, Failure};
use super::parts::Parts;
use super::types::PeerAddr;
use taciturn_stun::{ChannelNumber, ErrorCode};

//= 8656-12-600-s
/// RFC 8656 section 12: always 600 seconds.
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

pub(super) fn channel_bind<O: Outside>(cx: &mut Context<'_, O>, request: &Request<'_>) -> Answer {
    let bad = |detail| Failure::new(ErrorCode::BAD_REQUEST, detail);
    let (now, message) = (cx.now.tick, request.message);
    let Parts { settings, rules, allocations, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.entry_of(&request.client) else {
        //= 8656-5-no-allocation-request
        return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, "There is no allocation"));
    };
    if entry.tcp().is_some() {
        let detail = "A TCP allocation has no channels: use Connect";
        return Err(Failure::new(ErrorCode::FORBIDDEN, detail));
    }
    // RFC 8656 section 12.2, in its order.
    let (Some(number), Some(peer)) = (message.channel_number()?, message.peer()?) else {
        //= 8656-12.2-both-attributes
        return Err(bad("CHANNEL-NUMBER or XOR-PEER-ADDRESS is missing"));
    };
    let allowed = |number: &ChannelNumber| number.is_current() || settings.rfc5766_channels;
    let Some(number) = number.filter(allowed) else {
        //= 8656-12.2-range
        return Err(bad("A channel number lies between 0x4000 and 0x4FFF"));
    };
    if peer.port() == 0 {
        return Err(bad("No peer has port 0"));
    }
    //= 8656-12.2-forbidden
    let port = Some(peer.port());
    let (peer, reach) = judge_peer(settings, rules, &entry, peer, port, cx.outside)?;
    let peer = PeerAddr(peer);
    entry.sweep(now);
    let Some(udp) = entry.udp() else { return Ok(()) };
    let channels = udp.channels();
    match channels.conflict(number, peer, now) {
        //= 8656-12.2-other-peer
        Some(Conflict::OtherPeer) => return Err(bad("The channel is bound to another peer")),
        //= 8656-12.2-other-channel
        Some(Conflict::OtherChannel) => return Err(bad("The peer is bound to another channel")),
        Some(Conflict::Guarded) => {
            return Err(bad("The channel or the peer was bound otherwise less than 5 minutes ago"));
        }
        None => {}
    }
    if channels.get(number).is_none() && channels.len() >= settings.max_channels {
        //= 8656-12.2-no-capacity
        return Err(Cause::Channels.into());
    }
    make_room(settings, rules, now, &mut entry, &[peer.0.ip()])?;
    //= 8656-12.2-permission
    let permitted_until = now + PERMISSION_LIFETIME;
    entry.permit(peer.0.ip(), reach, permitted_until);
    let expires = now + CHANNEL_LIFETIME;
    entry.bind(Channel { number, peer, expires, permitted_until });
    let id = entry.id();
    announce(cx, id);
    Ok(())
}
