//! Limits on what a peer may do between two accepted messages; beyond them the session is closed.
//!
//! A relay that keeps one connection for thousands of messages never comes near these bounds; a peer that only probes
//! addresses or keeps the connection busy does.

use std::time::Duration;

use jiff::Timestamp;

/// Maximum number of commands without a message: a relay that checks many addresses stays below it, a flood does not.
/// Accepted recipients do not count; they have their own bound.
const COMMANDS_MAX: u32 = 10_000;
/// Maximum number of refused lines (see [`CountedEvent::RefusedLine`]).
const ERRORS_MAX: u32 = 20;
/// Maximum number of refused recipients, except on LMTP: a list with old addresses causes some, guessing causes many.
const RECIPIENTS_REFUSED_MAX: u32 = 100;
/// How long a session may last without an accepted message. A relay closes an idle connection within minutes.
const WITHOUT_MESSAGE_LIMIT: Duration = Duration::from_secs(60 * 60);

/// The events that the budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedEvent {
    /// A complete line: a command, valid or not, or a response of AUTH.
    Command,
    /// A line refused for good: malformed, not supported, out of order, an invalid response of AUTH, or a greeting or
    /// MAIL that a stage refuses.
    RefusedLine,
    /// A recipient that is refused for good (5xx).
    RefusedRecipient,
}

/// The counts of one session.
#[derive(Debug)]
pub(super) struct ErrorBudget {
    since: Timestamp,
    commands: u32,
    errors: u32,
    recipients_refused: u32,
}

impl ErrorBudget {
    /// A full budget: at the start and after each accepted message.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, commands: 0, errors: 0, recipients_refused: 0 }
    }

    /// Counts one more; `false` when the session is to be closed.
    pub(super) fn spend(&mut self, spent: CountedEvent) -> bool {
        let (count, limit) = match spent {
            CountedEvent::Command => (&mut self.commands, COMMANDS_MAX),
            CountedEvent::RefusedLine => (&mut self.errors, ERRORS_MAX),
            CountedEvent::RefusedRecipient => (&mut self.recipients_refused, RECIPIENTS_REFUSED_MAX),
        };
        *count = count.saturating_add(1);
        *count <= limit
    }

    /// Uncounts the last command, which was an accepted recipient.
    pub(super) fn give_back_command(&mut self) {
        self.commands = self.commands.saturating_sub(1);
    }

    /// How much longer the session may last without an accepted message.
    pub(super) fn time_left(&self, now: Timestamp) -> Duration {
        WITHOUT_MESSAGE_LIMIT.saturating_sub(elapsed(self.since, now))
    }
}

/// Time between two moments; zero when the clock was set back.
pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(since).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_event_has_its_limit() {
        for (spent, limit) in
            [(CountedEvent::Command, 10_000), (CountedEvent::RefusedLine, 20), (CountedEvent::RefusedRecipient, 100)]
        {
            let mut budget = ErrorBudget::new(at(0));
            assert_eq!((0..limit + 5).filter(|_| budget.spend(spent)).count(), limit, "{spent:?}");
        }
    }

    #[test]
    fn a_session_without_a_message_lasts_an_hour() {
        let budget = ErrorBudget::new(at(1_000));
        for (now, left) in [(1_000, 3_600), (0, 3_600), (4_000, 600), (4_600, 0), (9_999, 0)] {
            assert_eq!(budget.time_left(at(now)).as_secs(), left, "{now}");
        }
    }
}
