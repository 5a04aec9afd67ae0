//! What will happen to one person until a day, if nothing is changed.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use provost_policy::{PolicySet, days_before};

use crate::decide::{Decision, decide};
use crate::facts::LifecycleFacts;
use crate::notice::{DueNotice, due_notice};

/// Maximum number of events of one person: more than a policy of sixteen phases with eight notices each can cause in a
/// century of returning people.
const EVENTS_MAX: usize = 1000;

/// One event of a person's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimelineEvent {
    /// A state begins. Boxed, since it is far larger than a notice.
    State(Timestamp, Box<Decision>),
    /// A notice is sent.
    Notice(Timestamp, DueNotice),
}

impl TimelineEvent {
    /// When it happens.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::State(at, _) | Self::Notice(at, _) => *at,
        }
    }
}

/// All events from `from` to `until`, in order, as a run of the lifecycle each day would cause them.
pub fn timeline(
    facts: &LifecycleFacts,
    policies: &PolicySet,
    from: Timestamp,
    until: Timestamp,
    zone: &TimeZone,
) -> Vec<TimelineEvent> {
    let mut facts = facts.clone();
    let (mut events, mut now) = (Vec::new(), from);
    while now <= until && events.len() < EVENTS_MAX {
        let Some(decision) = decide(&facts, policies, now, zone) else { break };
        if decision.state.name() != facts.state {
            events.push(TimelineEvent::State(now, Box::new(decision.clone())));
        }
        facts.state = decision.state.name().to_owned();
        facts.state_since = decision.since;
        facts.policy.clone_from(&decision.policy);
        if let Some(notice) = due_notice(&decision, &facts, policies, now, zone) {
            facts.notices.push(notice.sent(now));
            events.push(TimelineEvent::Notice(now, notice));
        }
        let Some(next) = next_moment(&decision, policies, now, zone) else { break };
        now = next;
    }
    events
}

/// The next moment at which a notice becomes due or the state ends; `None` when nothing is foreseen.
pub fn next_moment(decision: &Decision, policies: &PolicySet, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let until = decision.until?;
    let policy = decision.policy.as_deref().and_then(|name| policies.lifecycle(name));
    let days = policy.map(|policy| policy.notice_days.clone()).unwrap_or_default();
    let notices = days.into_iter().filter_map(|days| days_before(until, days.into(), zone));
    // The state ends after its last second.
    let after = until.checked_add(SignedDuration::from_secs(1)).ok();
    notices.chain(after).filter(|moment| *moment > now).min()
}

#[cfg(test)]
mod tests {
    use provost_policy::PolicyDocument;

    use super::*;
    use crate::period::AffiliationPeriod;

    #[test]
    fn a_staff_member_passes_through_the_phases_with_each_notice_once() {
        let text = "kind lifecycle\nphase 1 grace days=90\nphase 2 closing days=60\nphase 3 closed days=100\n";
        let document = PolicyDocument::parse("p", text, &TimeZone::UTC).unwrap();
        let policies = PolicySet::new(vec![document]).unwrap();
        let facts = LifecycleFacts {
            state: "active".to_owned(),
            affiliations: vec![AffiliationPeriod::parse("hr staff 20200101000000Z 20261231235959Z").unwrap()],
            ..LifecycleFacts::default()
        };
        let events = timeline(
            &facts,
            &policies,
            "2026-11-01T00:00:00Z".parse().unwrap(),
            "2036-01-01T00:00:00Z".parse().unwrap(),
            &TimeZone::UTC,
        );
        let lines: Vec<String> = events
            .iter()
            .map(|event| match event {
                TimelineEvent::State(at, decision) => format!("{} {}", at.strftime("%F"), decision.state),
                TimelineEvent::Notice(at, notice) => {
                    format!("{} notice {} {}", at.strftime("%F"), notice.days, notice.event())
                }
            })
            .collect();
        assert_eq!(
            lines,
            [
                "2027-01-01 grace",
                "2027-01-30 notice 60 closing@20270331",
                "2027-03-01 notice 30 closing@20270331",
                "2027-03-24 notice 7 closing@20270331",
                "2027-03-30 notice 1 closing@20270331",
                "2027-04-01 closing",
                "2027-04-01 notice 60 closed@20270530",
                "2027-04-30 notice 30 closed@20270530",
                "2027-05-23 notice 7 closed@20270530",
                "2027-05-29 notice 1 closed@20270530",
                "2027-05-31 closed",
            ]
        );
    }
}
