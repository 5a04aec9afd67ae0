//! Notices before a change that takes something away: which one is due, and which were sent.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_policy::{PolicySet, days_before};

use crate::decide::{AccountState, Decision};
use crate::facts::LifecycleFacts;

/// A notice that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueNotice {
    /// The state that begins.
    pub next: AccountState,
    /// When it begins.
    pub at: Timestamp,
    /// Days before the change at which this notice was to be sent.
    pub days: u16,
}

/// A notice that was sent: a value of provostNotice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentNotice {
    /// The change: the state that begins and the day: `closing@20270301`.
    pub event: String,
    /// Days before the change for which it was sent.
    pub days: u16,
    /// When it was sent.
    pub sent: Timestamp,
    /// Digest of the link with which the person may object; `None` when the notice had none.
    pub link: Option<String>,
}

impl DueNotice {
    /// Name of the change that the notice is about, the same for all notices of one change.
    pub fn event(&self) -> String {
        format!("{}@{}", self.next, self.at.strftime("%Y%m%d"))
    }

    /// The record that the notice was sent.
    pub fn sent(&self, at: Timestamp) -> SentNotice {
        SentNotice { event: self.event(), days: self.days, sent: at, link: None }
    }
}

impl SentNotice {
    /// Reads `EVENT DAYS TIME [LINK]`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (event, days, sent) = (words.next()?, words.next()?, words.next()?);
        let link = words.next().map(str::to_owned);
        Some(Self { event: event.to_owned(), days: days.parse().ok()?, sent: parse_generalized(sent)?, link })
    }
}

impl fmt::Display for SentNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.event, self.days, format_generalized(self.sent))?;
        self.link.iter().try_for_each(|link| write!(f, " {link}"))
    }
}

/// The notice that is due at `now`: of several, the one nearest to the change, since the earlier ones would state a
/// time that has passed. `None` when none is due, when it was sent, or when the change takes nothing away.
pub fn due_notice(
    decision: &Decision,
    facts: &LifecycleFacts,
    policies: &PolicySet,
    now: Timestamp,
    zone: &TimeZone,
) -> Option<DueNotice> {
    let (next, at) = (decision.next?, decision.until?);
    let takes_away = decision.next_restrictions.iter().any(|later| !decision.restrictions.contains(later));
    if !takes_away || at < now {
        return None;
    }
    let policy = policies.lifecycle(decision.policy.as_deref()?)?;
    let is_due = |days: &u16| days_before(at, (*days).into(), zone).is_some_and(|first| first <= now);
    let days = policy.notice_days.iter().copied().filter(is_due).min()?;
    let notice = DueNotice { next, at, days };
    let event = notice.event();
    let was_sent = facts.notices.iter().any(|sent| sent.event == event && sent.days <= days);
    (!was_sent).then_some(notice)
}
