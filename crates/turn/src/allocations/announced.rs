//! What another data path was told of the channels of one allocation.

use crate::channel_route::ChannelRoute;
use crate::clock::Tick;
use crate::effects::DataPath;
use crate::traffic::Usage;

/// The channels that are announced as open, and until when. Empty where there is no other data path.
#[derive(Debug, Default)]
pub(super) struct Announced(Vec<(ChannelRoute, Tick)>);

impl Announced {
    /// Announces the difference between what was announced and what is open now. Returns what the data
    /// path has relayed on channels that it may not serve any more.
    pub(super) fn update(
        &mut self,
        open: &[(ChannelRoute, Tick)],
        path: &mut impl DataPath,
    ) -> Usage {
        let mut used = Usage::default();
        self.0.retain(|(route, _)| {
            let stays = open.iter().any(|(other, _)| other == route);
            if !stays {
                used.add(path.channel_closed(*route));
            }
            stays
        });
        for (route, until) in open {
            match self.0.iter_mut().find(|(known, _)| known == route) {
                Some((_, known)) if known == until => continue,
                Some((_, known)) => *known = *until,
                None => self.0.push((*route, *until)),
            }
            path.channel_opened(*route, *until);
        }
        used
    }
}
