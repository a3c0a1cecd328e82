//! ChannelBind (RFC 8656 section 12).

use std::time::Duration;

use super::allocation::Channel;
use super::cause::Cause;
use super::create_permission::PERMISSION_LIFETIME;
use super::outside::{ChannelRoute, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use super::types::PeerAddr;
use taciturn_stun::{ChannelNumber, ErrorCode, Family};

//= 8656-12-600-s
/// RFC 8656 section 12: always 600 seconds.
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

impl Shard {
    pub(super) fn channel_bind(
        &mut self,
        request: &Request<'_>,
        outside: &mut impl Outside,
    ) -> Answer {
        let bad = |detail| Failure::new(ErrorCode::BAD_REQUEST, detail);
        let (now, message) = (request.now.tick, request.message);
        let Some((index, allocation)) = self.allocation_of(&request.client) else {
            //= 8656-5-no-allocation-request
            return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, "There is no allocation"));
        };
        if allocation.tcp.is_some() {
            let detail = "A TCP allocation has no channels: use Connect";
            return Err(Failure::new(ErrorCode::FORBIDDEN, detail));
        }
        // RFC 8656 section 12.2, in its order.
        let (Some(number), Some(peer)) = (message.channel_number()?, message.peer()?) else {
            //= 8656-12.2-both-attributes
            return Err(bad("CHANNEL-NUMBER or XOR-PEER-ADDRESS is missing"));
        };
        let allowed =
            |number: &ChannelNumber| number.is_current() || self.settings.rfc5766_channels;
        let Some(number) = number.filter(allowed) else {
            //= 8656-12.2-range
            return Err(bad("A channel number lies between 0x4000 and 0x4FFF"));
        };
        if peer.port() == 0 {
            return Err(bad("No peer has port 0"));
        }
        //= 8656-12.2-forbidden
        let peer = self.judge_peer(request, index, peer, Some(peer.port()), outside)?;
        let peer = PeerAddr(peer);
        self.sweep(now, index, outside);
        let Some(allocation) = self.allocations.get(index as usize) else { return Ok(()) };
        let by_number = allocation.channel(number);
        if by_number.is_some_and(|channel| channel.peer != peer) {
            //= 8656-12.2-other-peer
            return Err(bad("The channel is bound to another peer"));
        }
        if allocation.channel_to(peer).is_some_and(|channel| channel.number != number) {
            //= 8656-12.2-other-channel
            return Err(bad("The peer is bound to another channel"));
        }
        if allocation.is_guarded(number, peer, now) {
            return Err(bad("The channel or the peer was bound otherwise less than 5 minutes ago"));
        }
        if by_number.is_none() && allocation.channel_count() >= self.settings.max_channels {
            //= 8656-12.2-no-capacity
            return Err(Cause::Channels.into());
        }
        let (client, relay) =
            (allocation.client, allocation.relay(Family::of(peer.0.ip())).map(|relay| relay.local));
        self.make_room(now, index, &[peer.0.ip()], outside)?;
        //= 8656-12.2-permission
        self.permit(now, index, peer.0.ip());
        let expires = now + CHANNEL_LIFETIME;
        let permitted_until = now + PERMISSION_LIFETIME;
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return Ok(()) };
        let new = allocation.bind(Channel { number, peer, expires, permitted_until });
        self.queue(index, expires);
        if let Some(relay) = relay.filter(|_| new) {
            outside.channel_bound(ChannelRoute { client, channel: number, relay, peer });
        }
        Ok(())
    }
}
