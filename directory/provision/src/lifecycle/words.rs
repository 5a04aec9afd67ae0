//! The reason of a decision, in words.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_lifecycle::{AffiliationPeriod, Decision, DecisionReason};

use crate::ReasonRule;
use crate::plan::Reason;

/// The rule of a decision, and the reason for people.
pub(super) fn reason(decision: &Decision, zone: &TimeZone) -> Reason {
    let day = |moment: Timestamp| zone.to_datetime(moment).date();
    let policy = decision.policy.as_deref().unwrap_or("none");
    let (rule, words) = match &decision.reason {
        DecisionReason::NotBegun(first) => {
            let start = first.start.map(|start| format!(" on {}", day(start))).unwrap_or_default();
            (ReasonRule::LifecycleStaged, format!("the first affiliation ({}) begins{start}", named(first)))
        }
        DecisionReason::Affiliated(period) => {
            let end = period.end.map(|end| format!(" until {}", day(end))).unwrap_or_default();
            (ReasonRule::LifecycleAffiliated, format!("the person is {}{end}; policy {policy}", named(period)))
        }
        DecisionReason::Departed(last, end, number) => (
            ReasonRule::LifecyclePhase,
            format!("the last affiliation ({}) ended on {}; phase {number} of policy {policy}", named(last), day(*end)),
        ),
        DecisionReason::PhasesEnded(last, end) => (
            ReasonRule::LifecycleEnded,
            format!("the last phase of policy {policy} after {} ended on {}", named(last), day(*end)),
        ),
    };
    Reason { rule, words }
}

/// `student, Music, of source registrar`.
fn named(period: &AffiliationPeriod) -> String {
    let program = period.program.as_ref().map(|program| format!(", {program}")).unwrap_or_default();
    format!("{}{program}, of source {}", period.affiliation, period.source)
}
