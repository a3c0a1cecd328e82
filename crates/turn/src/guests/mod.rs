//! Guests: people who try out for a few minutes whether a call would work, with a link that the operator has handed
//! out.
//!
//! A guest's credential is worth little to whoever finds it. It reaches relayed addresses of other guests, and nothing
//! else: no host on the Internet, none beside the server, and no call of a user. It ends after ten minutes with all that
//! was made by it, may hold few allocations, and has a limit of bytes a second that no configuration lifts. Nothing of a
//! guest goes to another process.

mod guest;
mod ports;
mod relay;
mod seen;
mod table;

pub(super) use guest::GuestTicket;
pub use guest::{Guest, NewGuest};
pub(super) use relay::GuestRelay;
pub use seen::{GuestSeen, SeenBy};
pub use table::{GUEST_TIME, GUESTS, Guests};
