//! What a packet costs the allocator: nothing.

mod counting;
mod dtls;
mod shard;
mod stun;
mod worker;
