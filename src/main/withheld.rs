//! Answers that were withheld, in the log.

use taciturn_turn::policy::AnswerLimit;

/// Logs now and then that answers were withheld from senders whose address is not proven.
#[derive(Default)]
pub(super) struct Withheld {
    told: u64,
    quiet_rounds: u32,
}

impl Withheld {
    /// To be called every five seconds.
    pub(super) fn report(&mut self, answers: &AnswerLimit) {
        /// One line a minute at most.
        const ROUNDS: u32 = 12;
        self.quiet_rounds = self.quiet_rounds.saturating_sub(1);
        // A reload resets the counter.
        self.told = self.told.min(answers.withheld());
        let more = answers.withheld() - self.told;
        if more > 0 && self.quiet_rounds == 0 {
            tracing::warn!(
                "{more} requests were not answered, because they exceeded limits.unverified_answers_per_address \
                 or limits.unverified_answers, the limits for senders whose address is not proven. Running \
                 calls are not affected. The cause is a flood, or many users behind one address: exempt such \
                 an address with limits.unverified_exempt"
            );
            self.told += more;
            self.quiet_rounds = ROUNDS;
        }
    }
}
