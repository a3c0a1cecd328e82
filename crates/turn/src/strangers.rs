//! Who is answered at all. An answer to a source that has proven nothing may go to somebody who
//! asked nothing, and a source that fails again and again is guessing.

use super::request::Request;
use super::shard::Shard;
use super::types::{Client, DropReason, Via};
use crate::auth::NonceError;
use crate::clock::Now;

impl Shard {
    /// Whether a Binding request is answered.
    pub(super) fn answers_binding(&self, request: &Request<'_>) -> bool {
        self.answers_client(request.now, &request.client)
    }

    /// Likewise, of a client whose request has another form.
    pub(super) fn answers_client(&self, now: Now, client: &Client) -> bool {
        !self.is_stranger(client) || self.rules.answers.admits(now.tick, client.remote.0.ip())
    }

    /// Whether a request that asks for more than Binding is looked at. `fresh` is what its nonce
    /// is worth: a good one has reached this source, so that its address is proven.
    /// Otherwise the answer is why not.
    pub(super) fn hears(
        &self,
        request: &Request<'_>,
        fresh: Result<(), NonceError>,
    ) -> Result<(), DropReason> {
        let proven = fresh.is_ok() || !matches!(request.client.via, Via::Udp(_));
        if !proven {
            return self.has_room_for_stranger(request).then_some(()).ok_or(DropReason::Withheld);
        }
        let from = request.client.remote.0.ip();
        // A session that runs is not ended by a neighbour behind the same address.
        let heard = self.has_allocation(&request.client)
            || self.rules.answers.exempts(from)
            || !self.rules.failures.is_spent(request.now.tick, from);
        heard.then_some(()).ok_or(DropReason::WrongCredentials)
    }

    /// Notes that a source that has proven its address gave a wrong credential.
    //= 8489-16-rfc7616-5
    pub(super) fn note_failure(&self, request: &Request<'_>) {
        // When nothing is left, `hears` will say so.
        let _ = self.rules.failures.take(request.now.tick, request.client.remote.0.ip());
    }

    /// Whether anybody could have sent this in the client's name.
    fn is_stranger(&self, client: &Client) -> bool {
        matches!(client.via, Via::Udp(_)) && !self.has_allocation(client)
    }

    fn has_room_for_stranger(&self, request: &Request<'_>) -> bool {
        self.rules.answers.admits(request.now.tick, request.client.remote.0.ip())
    }
}
