//! Sets a quota or a quota class of a person by hand, and clears it; gives values back to files and policies.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use provost_entry::time::parse_generalized;
use provost_entry::{AttributeDescription, Entry, Modification};
use provost_schema::attr;
use serde_json::json;

use super::{ChangeTarget, Desk, DeskError};
use crate::calendar::{day_ends, day_of};
use crate::lifecycle::LifecycleRules;
use crate::manual_origin::{given_back, is_held_by_hand, set_by_hand};
use crate::policy_documents::read_policies;
use crate::{Permission, Principal};

/// Largest quota in octets, as for the shared settings: 1 PiB.
const OCTETS_MAX: u64 = 1 << 50;
/// Longest name of a quota class, octets: provostQuotaClass has 64 characters.
const CLASS_OCTETS_MAX: usize = 64;

/// A person's own quota: a class, or octets.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct QuotaChange {
    /// Quota class, as the setting `quota-classes` names it.
    pub class: Option<String>,
    /// Octets; goes before a class.
    pub octets: Option<u64>,
    /// Last day, `YYYY-MM-DD`, inclusive; `None` has no end.
    pub until: Option<Date>,
}

impl QuotaChange {
    /// Whether it still holds on the day `today` of the site.
    pub fn holds_on(&self, today: Date) -> bool {
        self.until.is_none_or(|until| today <= until)
    }
}

/// What a hand can set, and a file or a policy can decide too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatedValue {
    /// The vacation rule.
    Vacation,
    /// The forwarding.
    Forwarding,
    /// The quota class.
    Quota,
}

impl DatedValue {
    /// The value that provostOrigin names by this attribute; `None` for an attribute that
    /// [`Desk::follow_sources`] does not give back.
    pub fn of_attribute(name: &str) -> Option<Self> {
        [Self::Vacation, Self::Forwarding, Self::Quota]
            .into_iter()
            .find(|value| value.attribute().eq_ignore_ascii_case(name))
    }

    /// The attribute that provostOrigin names.
    fn attribute(self) -> &'static str {
        match self {
            Self::Vacation => attr::MAIL_AUTO_REPLY_MODE,
            Self::Forwarding => attr::MAIL_FORWARDING_ADDRESS,
            Self::Quota => attr::PROVOST_QUOTA_CLASS,
        }
    }

    /// The permission to set the value, and to let files and policies decide again.
    pub fn permission(self) -> Permission {
        match self {
            Self::Vacation => Permission::SetVacation,
            Self::Forwarding => Permission::SetForwarding,
            Self::Quota => Permission::SetQuota,
        }
    }
}

impl Desk {
    /// Sets the person's own quota or quota class, which no file and no policy changes until its end. Returns the audit
    /// id.
    pub async fn set_quota(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        change: QuotaChange,
        now: Timestamp,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::SetQuota, &target.into()).await?;
        let zone = self.settings.get().time_zone;
        let (change, until) = checked(change, now, &zone)?;
        let detail = json!({ "before": of_entry(&person.entry, &zone), "after": change });
        let ends = (now, until.as_deref().and_then(parse_generalized));
        let changes = vec![
            replace(attr::PROVOST_QUOTA_CLASS, change.class.clone()),
            replace(attr::MAIL_QUOTA, change.octets.map(|octets| octets.to_string())),
            replace(attr::PROVOST_QUOTA_UNTIL, until),
            set_by_hand(&person.entry, attr::PROVOST_QUOTA_CLASS, ends, principal.actor()),
        ];
        self.change(principal.actor(), "quota.set", &person, changes, detail).await
    }

    /// Clears the person's own quota: policies, files and the affiliation decide again. Returns the audit id.
    pub async fn clear_quota(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        now: Timestamp,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::SetQuota, &target.into()).await?;
        let policies = Arc::new(read_policies(&self.directory).await?);
        let zone = self.settings.get().time_zone;
        let detail = json!({ "before": of_entry(&person.entry, &zone), "after": null });
        let decided =
            LifecycleRules { policies, zone, now }.compare(&person.entry).and_then(|found| found.decision.quota);
        let changes = vec![
            replace(attr::PROVOST_QUOTA_CLASS, decided),
            replace(attr::MAIL_QUOTA, None),
            replace(attr::PROVOST_QUOTA_UNTIL, None),
            given_back(&person.entry, attr::PROVOST_QUOTA_CLASS),
        ];
        self.change(principal.actor(), "quota.clear", &person, changes, detail).await
    }

    /// Lets files and policies decide again about what a hand has set. The value stays until they change it. Returns the
    /// audit id.
    pub async fn follow_sources(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        value: DatedValue,
        now: Timestamp,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, value.permission(), &target.into()).await?;
        let attribute = value.attribute();
        if !is_held_by_hand(&person.entry, attribute, now) {
            let rule = "nobody has set it by hand: files and policies decide already".to_owned();
            return Err(DeskError::Invalid { field: "value", rule });
        }
        let changes = vec![given_back(&person.entry, attribute)];
        self.change(principal.actor(), "origin.clear", &person, changes, json!({ "attribute": attribute })).await
    }
}

/// The change in the form that is stored, and its last second.
fn checked(change: QuotaChange, now: Timestamp, zone: &TimeZone) -> Result<(QuotaChange, Option<String>), DeskError> {
    let invalid = |field, rule: &str| Err(DeskError::Invalid { field, rule: rule.to_owned() });
    let class = change.class.map(|class| class.trim().to_ascii_lowercase());
    if class.is_some() == change.octets.is_some() {
        return invalid("class", "either a class or a number of octets is needed");
    }
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    let is_class = |class: &str| (1..=CLASS_OCTETS_MAX).contains(&class.len()) && class.bytes().all(is_allowed);
    if class.as_deref().is_some_and(|class| !is_class(class)) {
        return invalid("class", "1 to 64 letters, digits and hyphens, as in the setting quota-classes");
    }
    if change.octets.is_some_and(|octets| !(1..=OCTETS_MAX).contains(&octets)) {
        return invalid("octets", "1 to 1125899906842624 octets");
    }
    let until = match change.until {
        None => None,
        Some(day) => match day_ends(zone, day) {
            Some(end) if parse_generalized(&end).is_some_and(|end| end > now) => Some(end),
            Some(_) => return invalid("until", "the end is not in the future"),
            None => return invalid("until", "not a day that can be stored"),
        },
    };
    Ok((QuotaChange { class, ..change }, until))
}

fn replace(name: &'static str, value: Option<String>) -> Modification {
    let values = value.into_iter().map(String::into_bytes).collect();
    Modification::replace(AttributeDescription::of(name), values)
}

/// The person's own quota in an entry; `None` when the entry states none.
pub(super) fn of_entry(entry: &Entry, zone: &TimeZone) -> Option<QuotaChange> {
    let class = entry.first(attr::PROVOST_QUOTA_CLASS).map(str::to_owned);
    let octets = entry.first(attr::MAIL_QUOTA).and_then(|octets| octets.trim().parse().ok());
    let until = entry.first(attr::PROVOST_QUOTA_UNTIL).and_then(|time| day_of(zone, time));
    (class.is_some() || octets.is_some()).then_some(QuotaChange { class, octets, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dated_value_is_known_by_its_attribute() {
        for value in [DatedValue::Vacation, DatedValue::Forwarding, DatedValue::Quota] {
            assert_eq!(DatedValue::of_attribute(&value.attribute().to_ascii_lowercase()), Some(value));
        }
        assert_eq!(DatedValue::of_attribute(attr::PROVOST_STATE), None, "a state is restored, not followed");
    }

    #[test]
    fn a_quota_with_a_wrong_field_is_refused() {
        let now: Timestamp = "2027-01-01T12:00:00Z".parse().unwrap();
        let of = |class: Option<&str>, octets, until: &str| QuotaChange {
            class: class.map(str::to_owned),
            octets,
            until: until.parse().ok(),
        };
        for (change, field) in [
            (of(None, None, ""), "class"),
            (of(Some("research"), Some(1), ""), "class"),
            (of(Some(""), None, ""), "class"),
            (of(Some("no_class"), None, ""), "class"),
            (of(None, Some(0), ""), "octets"),
            (of(None, Some(u64::MAX), ""), "octets"),
            (of(Some("research"), None, "2026-12-31"), "until"),
        ] {
            match checked(change.clone(), now, &TimeZone::UTC) {
                Err(DeskError::Invalid { field: refused, .. }) => assert_eq!(refused, field, "{change:?}"),
                other => panic!("{field}: {other:?}"),
            }
        }
        let (stored, until) = checked(of(Some(" Research "), None, "2027-01-01"), now, &TimeZone::UTC).unwrap();
        assert_eq!((stored.class.as_deref(), until.as_deref()), (Some("research"), Some("20270101235959Z")));
    }
}
