//! Suspends a person by a lock, and releases it; closes an account by hand, and restores it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_entry::{AttributeDescription, Modification};
use provost_schema::attr;
use serde_json::json;

use super::{ChangeTarget, CurrentPerson, Desk, DeskError, checked_reason};
use crate::calendar::day_ends;
use crate::lifecycle::{LifecycleRules, is_closed, lifecycle_facts};
use crate::manual_origin::{actor_word, given_back, set_by_hand};
use crate::person_lock::{LOCK_WORD_CHARS_MAX, LOCKS_MAX, PersonLock, is_lock_name};
use crate::policy_documents::read_policies;
use crate::write::NEW_STATE;
use crate::{AttributeChange, Permission, Principal};

/// State of an account that a hand has closed.
const CLOSED: &str = "closed";
/// What a closed account forbids, as the lifecycle writes it.
const ALL_RESTRICTIONS: [&str; 3] = ["no-login", "no-send", "no-receive"];

/// A lock that is to be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockRequest {
    /// Name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Who is responsible for it; the principal if not stated.
    pub owner: Option<String>,
    /// Why the account is locked, for the audit and the person's page.
    pub reason: String,
    /// Last second; `None` stands until it is released.
    pub until: Option<Timestamp>,
}

impl Desk {
    /// The last second of a day in the site's time zone, as the end of a lock that was stated as a day.
    pub fn last_second_of(&self, day: Date) -> Result<Timestamp, DeskError> {
        let ends = day_ends(&self.settings.get().time_zone, day).as_deref().and_then(parse_generalized);
        ends.ok_or_else(|| DeskError::Invalid { field: "until", rule: "not a day that can be stored".to_owned() })
    }

    /// Sets a lock. A lock of the same name that still stands is refused; ended locks are removed. Returns the audit id.
    pub async fn suspend(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        request: LockRequest,
        now: Timestamp,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::SuspendPerson, &target.into()).await?;
        let own_name = actor_word(principal.actor());
        let lock = checked_lock(request, own_name, now)?;
        let held = PersonLock::all_of(&person.entry, now);
        let standing: Vec<&PersonLock> = held.iter().filter(|held| !held.has_ended(now)).collect();
        if standing.iter().any(|held| held.name == lock.name) {
            let rule =
                format!("the person has a lock '{}' already; release it first, or choose another name", lock.name);
            return Err(DeskError::Invalid { field: "lock", rule });
        }
        if standing.len() >= LOCKS_MAX {
            return Err(DeskError::Invalid { field: "lock", rule: format!("at most {LOCKS_MAX} locks") });
        }
        let values = standing.into_iter().chain([&lock]).map(PersonLock::value).collect();
        let detail = json!({ "lock": lock.name, "owner": lock.owner, "until": lock.until, "reason": lock.reason });
        self.change(principal.actor(), "person.suspend", &person, vec![locks(values)], detail).await
    }

    /// Releases the lock `name`; all others stay. Returns the audit id.
    pub async fn release_lock(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        name: &str,
        now: Timestamp,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::SuspendPerson, &target.into()).await?;
        let held = PersonLock::all_of(&person.entry, now);
        let (released, kept): (Vec<_>, Vec<_>) = held.into_iter().partition(|lock| lock.name == name);
        if released.is_empty() {
            return Err(DeskError::NotFound(format!("the person has no lock '{name}'")));
        }
        let values = kept.iter().map(PersonLock::value).collect();
        let detail = json!({ "lock": name });
        self.change(principal.actor(), "person.release", &person, vec![locks(values)], detail).await
    }

    /// Closes an account by hand: no login, no sending, no receiving, until somebody restores it. Returns the audit id.
    pub async fn close_account(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        reason: &str,
        now: Timestamp,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::CloseAccount, &target.into()).await?;
        let reason = checked_reason(reason)?;
        let invalid = |rule: &str| DeskError::Invalid { field: "person", rule: rule.to_owned() };
        if person.roles().next().is_some() {
            return Err(invalid("a person with a role is not closed; take the role away first"));
        }
        if is_closed(&person.entry) {
            return Err(invalid("the account is closed already"));
        }
        let restrictions = ALL_RESTRICTIONS.map(|word| word.as_bytes().to_vec()).to_vec();
        let changes = vec![
            replace(attr::PROVOST_STATE, vec![CLOSED.into()]),
            replace(attr::PROVOST_STATE_SINCE, vec![format_generalized(now).into_bytes()]),
            replace(attr::PROVOST_STATE_UNTIL, Vec::new()),
            replace(attr::PROVOST_NEXT_STATE, Vec::new()),
            replace(attr::PROVOST_RESTRICTION, restrictions),
            set_by_hand(&person.entry, attr::PROVOST_STATE, (now, None), principal.actor()),
        ];
        self.change(principal.actor(), "person.close", &person, changes, json!({ "reason": reason })).await
    }

    /// Gives an account back to the lifecycle: the state that a hand or another program has set ends, as does a request
    /// for its purge, and the entry gets the state that the person's policy asks for. Returns this state and the audit id.
    pub async fn restore_account(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        reason: &str,
        now: Timestamp,
    ) -> Result<(String, String), DeskError> {
        let person = self.target(principal, Permission::CloseAccount, &target.into()).await?;
        let reason = checked_reason(reason)?;
        let policies = Arc::new(read_policies(&self.directory).await?);
        let rules = LifecycleRules { policies, zone: self.settings.get().time_zone, now };
        let (changes, state) = restoration(&person, &rules);
        if changes.is_empty() {
            let rule = format!("the account is {state} by its policy; nothing was set by hand");
            return Err(DeskError::Invalid { field: "person", rule });
        }
        let detail = json!({ "reason": reason, "state": state });
        let audit_id = self.change(principal.actor(), "person.restore", &person, changes, detail).await?;
        Ok((state, audit_id))
    }
}

/// The changes that give an account back to the lifecycle, and the state that follows; no change when no hand holds it
/// and it has the state that its policy asks for.
fn restoration(person: &CurrentPerson, rules: &LifecycleRules) -> (Vec<Modification>, String) {
    let mut changes = vec![given_back(&person.entry, attr::PROVOST_STATE)];
    if !person.entry.values(attr::PROVOST_PURGE_REQUEST).is_empty() {
        changes.push(replace(attr::PROVOST_PURGE_REQUEST, Vec::new()));
    }
    let mut free = person.entry.clone();
    for change in &changes {
        free.set(change.attribute.clone(), change.values.clone());
    }
    if lifecycle_facts(&free, rules.now).is_held {
        // Another program has written the state `suspended`.
        free.set(AttributeDescription::of(attr::PROVOST_STATE), Vec::new());
    }
    let state = match rules.compare(&free) {
        Some(compared) => {
            changes.extend(compared.attributes.iter().flat_map(AttributeChange::modifications));
            compared.decision.state.name().to_owned()
        }
        // No affiliation decides: the account was made by hand, and is active until a hand says otherwise.
        None => {
            changes.push(replace(attr::PROVOST_STATE, vec![NEW_STATE.into()]));
            let of_state = [attr::PROVOST_STATE_SINCE, attr::PROVOST_STATE_UNTIL, attr::PROVOST_NEXT_STATE];
            changes
                .extend(of_state.into_iter().chain([attr::PROVOST_RESTRICTION]).map(|name| replace(name, Vec::new())));
            NEW_STATE.to_owned()
        }
    };
    let is_change = |change: &Modification| {
        let held: BTreeSet<&Vec<u8>> = person.entry.values(change.attribute.as_str()).iter().collect();
        held != change.values.iter().collect()
    };
    changes.retain(is_change);
    (changes, state)
}

fn checked_lock(request: LockRequest, actor: String, now: Timestamp) -> Result<PersonLock, DeskError> {
    let invalid = |field, rule: &str| Err(DeskError::Invalid { field, rule: rule.to_owned() });
    if !is_lock_name(&request.name) {
        return invalid("lock", "a name of lower-case letters, digits and hyphens, such as abuse");
    }
    let owner = request.owner.map_or(actor, |owner| owner.trim().to_owned());
    let is_word = |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if owner.is_empty() || owner.chars().count() > LOCK_WORD_CHARS_MAX || !is_word(&owner) {
        return invalid("owner", "one word of at most 64 characters, such as a login");
    }
    if request.until.is_some_and(|until| until <= now) {
        return invalid("until", "the end is not in the future");
    }
    let reason = checked_reason(&request.reason)?;
    Ok(PersonLock { name: request.name, since: Some(now), until: request.until, owner, reason, stands: true })
}

fn locks(values: Vec<String>) -> Modification {
    replace(attr::PROVOST_LOCK, values.into_iter().map(String::into_bytes).collect())
}

fn replace(name: &'static str, values: Vec<Vec<u8>>) -> Modification {
    Modification::replace(AttributeDescription::of(name), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_with_a_wrong_field_is_refused() {
        let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let good = LockRequest { name: "abuse".into(), reason: " spam  run ".into(), ..LockRequest::default() };
        let with = |edit: fn(&mut LockRequest)| {
            let mut request = good.clone();
            edit(&mut request);
            request
        };
        for (request, field) in [
            (with(|lock| lock.name = "Abuse".into()), "lock"),
            (with(|lock| lock.owner = Some("two words".into())), "owner"),
            (with(|lock| lock.owner = Some(String::new())), "owner"),
            (with(|lock| lock.until = "2027-01-01T00:00:00Z".parse().ok()), "until"),
            (with(|lock| lock.reason = " ".into()), "reason"),
        ] {
            match checked_lock(request, "cli:root".into(), now) {
                Err(DeskError::Invalid { field: refused, .. }) => assert_eq!(refused, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        let lock = checked_lock(good, "cli:root".into(), now).unwrap();
        assert_eq!(lock.value(), "abuse 20270101000000Z - cli:root spam run");
    }
}
