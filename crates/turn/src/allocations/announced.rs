//! What another data path was told of the channels of one allocation.

use crate::channel_route::ChannelRoute;
use crate::clock::Tick;
use crate::effects::DataPath;
use crate::traffic::Usage;

/// The channels that are announced as open, and until when, sorted by their numbers. Empty where there is no other
/// data path.
#[derive(Debug, Default)]
pub(super) struct Announced(Vec<(ChannelRoute, Tick)>);

impl Announced {
    /// Announces the difference between what was announced and what is open now, which is sorted by numbers too. Returns
    /// what the data path has relayed on channels that it may not serve any more.
    pub(super) fn update(
        &mut self,
        open: &[(ChannelRoute, Tick)],
        path: &mut impl DataPath,
    ) -> Usage {
        let mut used = Usage::default();
        // What closes is closed before anything opens: a peer may have got another number.
        for (route, _) in &self.0 {
            if !find(open, route).is_some_and(|(other, _)| other == route) {
                used.add(path.channel_closed(*route));
            }
        }
        for (route, until) in open {
            if !find(&self.0, route).is_some_and(|known| known == &(*route, *until)) {
                path.channel_opened(*route, *until);
            }
        }
        self.0.clear();
        self.0.extend_from_slice(open);
        used
    }
}

/// The channel of the same number, in time that hardly grows with their count.
fn find<'a>(
    sorted: &'a [(ChannelRoute, Tick)],
    route: &ChannelRoute,
) -> Option<&'a (ChannelRoute, Tick)> {
    let at = sorted.binary_search_by_key(&route.channel, |(other, _)| other.channel).ok()?;
    sorted.get(at)
}
