//! What a shard is made of. Each part owns what must agree within it; nothing here has to agree with
//! another part but `moves` with `Rules::mobile`, which other shards change as well.

use super::allocations::Allocations;
use super::ended_requests::EndedRequests;
use super::intake::Intake;
use super::moves::Moves;
use super::parked::Resumed;
use super::rules::Rules;
use super::settings::Settings;
use super::statistics::Statistics;
use super::transaction_ids::TransactionIds;
use super::types::ShardNumber;

#[derive(Debug)]
pub(super) struct Parts {
    /// Which of the server's shards it is.
    pub(super) number: ShardNumber,
    pub(super) settings: Settings,
    pub(super) rules: Rules,
    pub(super) intake: Intake,
    pub(super) allocations: Allocations,
    pub(super) moves: Moves,
    pub(super) ended: EndedRequests,
    pub(super) resumed: Resumed,
    pub(super) statistics: Statistics,
    /// For Data indications.
    pub(super) tids: TransactionIds,
}

impl Parts {
    pub(super) fn new(number: ShardNumber, settings: Settings, rules: Rules) -> Self {
        Self {
            number,
            settings,
            rules,
            intake: Intake::default(),
            allocations: Allocations::default(),
            moves: Moves::default(),
            ended: EndedRequests::default(),
            resumed: Resumed::default(),
            statistics: Statistics::default(),
            tids: TransactionIds::default(),
        }
    }
}
