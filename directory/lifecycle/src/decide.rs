//! The decision: which state holds at a moment, until when, by which policy, and why.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use provost_policy::{LifecyclePolicy, Phase, PhaseState, PolicySet, PromiseDate, PurgeRule};

use crate::facts::LifecycleFacts;
use crate::period::AffiliationPeriod;

/// The state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountState {
    /// The first affiliation has not begun.
    Staged,
    /// The person has an affiliation and an activation link, and has set no password yet.
    Invited,
    /// The person has an affiliation.
    Active,
    /// The last affiliation has ended, and the person is given time.
    Grace,
    /// A former student with what the policy promises.
    Alumni,
    /// The last phase before the account is closed.
    Closing,
    /// No login and no mail.
    Closed,
}

impl AccountState {
    const ALL: [Self; 7] =
        [Self::Staged, Self::Invited, Self::Active, Self::Grace, Self::Alumni, Self::Closing, Self::Closed];

    /// The state that provostState spells, ignoring case; `None` for another word.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name().eq_ignore_ascii_case(name))
    }

    /// The state as provostState spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Invited => "invited",
            Self::Active => "active",
            Self::Grace => "grace",
            Self::Alumni => "alumni",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for AccountState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<PhaseState> for AccountState {
    fn from(state: PhaseState) -> Self {
        match state {
            PhaseState::Active => Self::Active,
            PhaseState::Grace => Self::Grace,
            PhaseState::Alumni => Self::Alumni,
            PhaseState::Closing => Self::Closing,
            PhaseState::Closed => Self::Closed,
        }
    }
}

/// Why a state holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionReason {
    /// The first affiliation begins later.
    NotBegun(AffiliationPeriod),
    /// An affiliation stands.
    Affiliated(AffiliationPeriod),
    /// All affiliations have ended: the one that ended last, its end, and the number of the phase, from one.
    Departed(AffiliationPeriod, Timestamp, usize),
    /// All phases after the last affiliation have ended.
    PhasesEnded(AffiliationPeriod, Timestamp),
}

/// The state of one person at a moment, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state that holds.
    pub state: AccountState,
    /// Start of the state, where the facts show it.
    pub since: Option<Timestamp>,
    /// When the next state begins; `None` when none is foreseen.
    pub until: Option<Timestamp>,
    /// The state that follows at `until`.
    pub next: Option<AccountState>,
    /// What the state forbids: values of provostRestriction.
    pub restrictions: Vec<&'static str>,
    /// What the next state forbids.
    pub next_restrictions: Vec<&'static str>,
    /// Quota class of the phase.
    pub quota: Option<String>,
    /// Name of the policy that decided; `None` for a staged account.
    pub policy: Option<String>,
    /// The affiliations that the person has now, the primary one first. After departure, the former ones; `alum` for
    /// alumni.
    pub affiliations: Vec<String>,
    /// Programme of the primary affiliation.
    pub program: Option<String>,
    /// When a closed account became due for its purge, and by which rule.
    pub purge: Option<(Timestamp, PurgeRule)>,
    /// Why the state holds.
    pub reason: DecisionReason,
}

impl Decision {
    /// Whether the policy purges the account by `at` without asking anybody.
    pub fn is_to_be_purged_at(&self, at: Timestamp) -> bool {
        self.purge.is_some_and(|(due, rule)| rule == PurgeRule::Automatic && due <= at)
    }

    /// The affiliation that decides: the primary one, or the one that ended last, or the first one to begin.
    pub fn period(&self) -> &AffiliationPeriod {
        match &self.reason {
            DecisionReason::NotBegun(period) | DecisionReason::Affiliated(period) => period,
            DecisionReason::Departed(period, ..) | DecisionReason::PhasesEnded(period, _) => period,
        }
    }
}

/// Decides the state of a person at `now`. `None` when there is nothing to decide by: the person has no affiliation, or
/// the state was set by hand, or no policy concerns them.
pub fn decide(facts: &LifecycleFacts, policies: &PolicySet, now: Timestamp, zone: &TimeZone) -> Option<Decision> {
    if facts.is_held {
        return None;
    }
    let periods = facts.effective_periods();
    let mut standing: Vec<&AffiliationPeriod> = periods.iter().filter(|period| period.stands_at(now)).collect();
    standing.sort_by_key(|period| (period.precedence(), period.start));
    let next_start = periods.iter().filter(|period| period.start.is_some_and(|start| start > now));
    let next_start = next_start.min_by_key(|period| period.start);
    let last = periods.iter().filter(|period| period.end.is_some_and(|end| end < now));
    let last = last.max_by_key(|period| (period.end, std::cmp::Reverse(period.precedence())));
    let person = Person { facts, periods: &periods, policies, now, zone };
    match (standing.first(), last, next_start) {
        (Some(primary), ..) => person.affiliated(primary, &standing),
        (None, Some(last), next) => person.departed(last, next),
        (None, None, Some(next)) => Some(staged(next)),
        (None, None, None) => None,
    }
}

fn staged(first: &AffiliationPeriod) -> Decision {
    Decision {
        state: AccountState::Staged,
        since: None,
        until: first.start,
        next: Some(AccountState::Active),
        restrictions: Vec::new(),
        next_restrictions: Vec::new(),
        quota: None,
        policy: None,
        affiliations: vec![first.affiliation.clone()],
        program: first.program.clone(),
        purge: None,
        reason: DecisionReason::NotBegun(first.clone()),
    }
}

/// One person at one moment.
struct Person<'a> {
    facts: &'a LifecycleFacts,
    periods: &'a [AffiliationPeriod],
    policies: &'a PolicySet,
    now: Timestamp,
    zone: &'a TimeZone,
}

/// A phase with its bounds.
struct RunningPhase<'p> {
    /// Its number, from one.
    number: usize,
    phase: &'p Phase,
    from: Timestamp,
    /// Last second; `None` for a phase without end.
    end: Option<Timestamp>,
}

impl<'a> Person<'a> {
    fn affiliated(&self, primary: &AffiliationPeriod, standing: &[&AffiliationPeriod]) -> Option<Decision> {
        let policy = self.policy_of(primary, self.now)?;
        let held_is_invited = self.facts.state == AccountState::Invited.name() && !self.facts.has_password;
        let state = if held_is_invited { AccountState::Invited } else { policy.affiliated.state.into() };
        let end = self.standing_until(standing).map(|end| self.facts.extended(None, end));
        let next = end.and_then(|end| self.first_phase(end));
        let mut affiliations: Vec<String> = standing.iter().map(|period| period.affiliation.clone()).collect();
        let mut seen = std::collections::HashSet::new();
        affiliations.retain(|affiliation| seen.insert(affiliation.clone()));
        Some(Decision {
            state,
            since: primary.start,
            until: end,
            next: next.map(|phase| phase.state.into()),
            restrictions: policy.affiliated.restrictions(),
            next_restrictions: next.map(Phase::restrictions).unwrap_or_default(),
            quota: policy.affiliated.quota.clone(),
            policy: Some(policy.name.clone()),
            affiliations,
            program: primary.program.clone(),
            purge: None,
            reason: DecisionReason::Affiliated(primary.clone()),
        })
    }

    /// `last` is the affiliation that ended last, `next` the one that begins next.
    fn departed(&self, last: &AffiliationPeriod, next: Option<&AffiliationPeriod>) -> Option<Decision> {
        let end = self.facts.extended(None, last.end?);
        if end >= self.now {
            // An extension that was granted before the departure keeps the affiliation standing.
            let standing = AffiliationPeriod { end: Some(end), ..last.clone() };
            return self.affiliated(&standing, &[&standing]);
        }
        let policy = self.policy_after(last, end)?;
        let phases = self.phases(policy, end);
        let running = phases.iter().find(|phase| phase.end.is_none_or(|end| end >= self.now));
        let Some(running) = running else {
            let ended = phases.last().and_then(|phase| phase.end).unwrap_or(end);
            return Some(self.after_phases(policy, last, ended, next));
        };
        let following = phases.iter().find(|phase| phase.number == running.number + 1).map(|phase| phase.phase);
        let mut until = running.end;
        let mut next_state = Some(following.map_or(AccountState::Closed, |phase| phase.state.into()));
        let mut next_restrictions = following.map_or_else(closed_restrictions, Phase::restrictions);
        let returns = next.and_then(|next| next.start).filter(|start| until.is_none_or(|until| *start <= until));
        if let Some(start) = returns {
            (until, next_state, next_restrictions) = (Some(start), Some(AccountState::Active), Vec::new());
        }
        let state: AccountState = running.phase.state.into();
        Some(Decision {
            state,
            since: Some(running.from),
            next: next_state.filter(|_| until.is_some()),
            until,
            restrictions: running.phase.restrictions(),
            next_restrictions,
            quota: running.phase.quota.clone(),
            policy: Some(policy.name.clone()),
            affiliations: self.former_affiliations(state, last),
            program: last.program.clone(),
            purge: None,
            reason: DecisionReason::Departed(last.clone(), end, running.number),
        })
    }

    fn after_phases(
        &self,
        policy: &LifecyclePolicy,
        last: &AffiliationPeriod,
        ended: Timestamp,
        next: Option<&AffiliationPeriod>,
    ) -> Decision {
        let returns = next.and_then(|next| next.start);
        Decision {
            state: AccountState::Closed,
            since: Some(ended),
            until: returns,
            next: returns.map(|_| AccountState::Active),
            restrictions: closed_restrictions(),
            next_restrictions: Vec::new(),
            quota: None,
            policy: Some(policy.name.clone()),
            affiliations: self.former_affiliations(AccountState::Closed, last),
            program: last.program.clone(),
            // Who is to return is not purged.
            purge: returns.is_none().then_some((ended, policy.purge)),
            reason: DecisionReason::PhasesEnded(last.clone(), ended),
        }
    }

    /// All phases after a departure at `departure`, up to the first one without end.
    fn phases<'p>(&self, policy: &'p LifecyclePolicy, departure: Timestamp) -> Vec<RunningPhase<'p>> {
        let mut phases = Vec::with_capacity(policy.phases.len());
        let mut from = departure;
        for (number, phase) in (1..).zip(&policy.phases) {
            let end = phase.end(from, self.facts.last_login, policy.terms.as_ref(), self.zone);
            let end = end.map(|end| self.facts.extended(Some(from), end));
            phases.push(RunningPhase { number, phase, from, end });
            match end {
                Some(end) => from = end,
                None => break,
            }
        }
        phases
    }

    /// The last second at which one of the affiliations stands, without a gap from now on; `None` when one has no end.
    fn standing_until(&self, standing: &[&AffiliationPeriod]) -> Option<Timestamp> {
        let mut end = latest_end(standing.iter().copied())?;
        loop {
            // An affiliation that begins at the latest one second after the end follows without a gap.
            let after = end.checked_add(SignedDuration::from_secs(1)).ok()?;
            let following = self.periods.iter().filter(|period| period.start.is_none_or(|start| start <= after));
            let later = latest_end(following.filter(|period| period.end.is_none_or(|other| other > end)));
            let is_longer = self.periods.iter().any(|period| {
                period.start.is_none_or(|start| start <= after) && period.end.is_none_or(|other| other > end)
            });
            match (is_longer, later) {
                (false, _) => return Some(end),
                (true, None) => return None,
                (true, Some(later)) => end = later,
            }
        }
    }

    fn first_phase(&self, end: Timestamp) -> Option<&'a Phase> {
        let last = self.periods.iter().filter(|period| period.end.is_some_and(|other| other <= end));
        let last = last.max_by_key(|period| (period.end, std::cmp::Reverse(period.precedence())))?;
        self.policy_of(last, end)?.phases.first()
    }

    /// The policy after a departure: the one whose promise was recorded at the departure, else the one in force then.
    fn policy_after(&self, last: &AffiliationPeriod, end: Timestamp) -> Option<&'a LifecyclePolicy> {
        let has_departed = ["grace", "alumni", "closing", "closed"].contains(&self.facts.state.as_str());
        let recorded = self.facts.policy.as_deref().filter(|_| has_departed);
        recorded.and_then(|name| self.policies.lifecycle(name)).or_else(|| self.policy_of(last, end))
    }

    /// The policy for an affiliation: the version of the day on which it began, if that version or the one in force at
    /// `at` makes its promise at the start; else the version in force at `at`.
    fn policy_of(&self, period: &AffiliationPeriod, at: Timestamp) -> Option<&'a LifecyclePolicy> {
        let in_force = |at| self.policies.lifecycle_in_force(&period.affiliation, period.program.as_deref(), at);
        let by_start = period.start.and_then(in_force).filter(|policy| policy.promise == PromiseDate::Start);
        by_start.or_else(|| in_force(at))
    }

    fn former_affiliations(&self, state: AccountState, last: &AffiliationPeriod) -> Vec<String> {
        if state == AccountState::Alumni { vec!["alum".to_owned()] } else { vec![last.affiliation.clone()] }
    }
}

/// The latest end; `None` when one of them has none, or there is none at all.
fn latest_end<'p>(periods: impl Iterator<Item = &'p AffiliationPeriod>) -> Option<Timestamp> {
    periods.map(|period| period.end).try_fold(None, |latest: Option<Timestamp>, end| Some(latest.max(Some(end?))))?
}

fn closed_restrictions() -> Vec<&'static str> {
    vec!["no-login", "no-send", "no-receive"]
}

#[cfg(test)]
mod tests;
