//! The person to whom a token belongs: such a token is valid only while the person may log in and has its role.

use jiff::Timestamp;
use provost_entry::{Entry, Filter};
use provost_schema::attr;
use uuid::Uuid;

use super::{Desk, DeskError, ReadPurpose};
use crate::people_list::lock_stands;

/// States of an account that may log in. Absent means `active`.
const OPEN_STATES: [&str; 5] = ["active", "invited", "grace", "alumni", "closing"];
/// Restrictions that do not forbid login. The View reads any other word as `no-login`, and so does this module.
const OTHER_RESTRICTIONS: [&str; 4] = ["no-send", "no-receive", "forward-only", "read-only"];

impl Desk {
    /// The values of `provostRole` of the person with this entryUUID; `None` when nobody has it, or when the person may
    /// not log in. This authenticates a caller, so no principal asks for it.
    pub async fn roles_of_token_owner(
        &self,
        entry_uuid: Uuid,
        now: Timestamp,
    ) -> Result<Option<Vec<String>>, DeskError> {
        let filter = Filter::equal(attr::ENTRY_UUID, entry_uuid.to_string());
        let attributes = [attr::PROVOST_ROLE, attr::PROVOST_STATE, attr::PROVOST_RESTRICTION, attr::PROVOST_LOCK];
        let (people, _) = self.people(filter, &attributes, Some(1), ReadPurpose::Change).await?;
        let person = people.first().filter(|person| may_log_in(person, now));
        Ok(person.map(|person| person.texts(attr::PROVOST_ROLE).map(str::to_owned).collect()))
    }
}

fn may_log_in(person: &Entry, now: Timestamp) -> bool {
    let is_one_of = |word: &str, words: &[&str]| words.iter().any(|one| one.eq_ignore_ascii_case(word));
    let is_open = person.first(attr::PROVOST_STATE).is_none_or(|state| is_one_of(state, &OPEN_STATES));
    let is_locked = person.texts(attr::PROVOST_LOCK).any(|lock| lock_stands(lock, now));
    let mut restrictions = person.texts(attr::PROVOST_RESTRICTION);
    is_open && !is_locked && restrictions.all(|word| is_one_of(word, &OTHER_RESTRICTIONS))
}

#[cfg(test)]
mod tests {
    use provost_entry::Dn;

    use super::*;

    #[test]
    fn a_person_who_is_locked_restricted_or_closed_may_not_log_in() {
        let now = "2026-09-01T00:00:00Z".parse().unwrap();
        for (name, value, may) in [
            (attr::UID, "ada", true),
            (attr::PROVOST_STATE, "alumni", true),
            (attr::PROVOST_STATE, "Closed", false),
            (attr::PROVOST_STATE, "suspended", false),
            (attr::PROVOST_STATE, "of a later version", false),
            (attr::PROVOST_RESTRICTION, "forward-only", true),
            (attr::PROVOST_RESTRICTION, "no-login", false),
            (attr::PROVOST_RESTRICTION, "of-a-later-version", false),
            (attr::PROVOST_LOCK, "abuse 20260101000000Z - cli:helen spam", false),
            (attr::PROVOST_LOCK, "fees 20260101000000Z 20260201000000Z sis unpaid", true),
        ] {
            let person = Entry::new(Dn::parse("uid=ada,dc=example,dc=edu").unwrap()).with(name, value);
            assert_eq!(may_log_in(&person, now), may, "{name} {value}");
        }
    }
}
