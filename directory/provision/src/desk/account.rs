//! Roles, and the accounts of the help desk's own staff.

use jiff::Timestamp;
use provost_client::DirectoryError;
use provost_credential::Secret;
use provost_entry::{Address, AttributeDescription, Dn, Entry, Modification};
use provost_schema::attr;
use serde_json::json;

use super::registry::{AddressAssignment, AddressOwnership};
use super::{ChangeTarget, CurrentPerson, Desk, DeskError};
use crate::plan::person_uuid;
use crate::write::{AddressKind, person_entry};
use crate::{Permission, Principal, Role, tree};

/// Source name of people who are in no registrar's file.
const LOCAL_SOURCE: &str = "local";

impl Desk {
    /// Sets a person's roles to exactly these, none of them above the principal's own. Returns the audit id.
    pub async fn set_roles(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        roles: &[&str],
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::SetRoles, &target.into()).await?;
        roles.iter().try_for_each(|role| check_role(role))?;
        self.permit_on(principal, Permission::SetRoles, person.dn().as_str(), None, roles.iter().copied()).await?;
        let before: Vec<&str> = person.entry.texts(attr::PROVOST_ROLE).collect();
        let detail = json!({ "before": before, "after": roles });
        let values = roles.iter().map(|role| role.as_bytes().to_vec()).collect();
        let change = Modification::replace(AttributeDescription::of(attr::PROVOST_ROLE), values);
        self.change(principal.actor(), "role.set", &person, vec![change], detail).await
    }

    /// Creates a person who is in no registrar's file, with a login, an address and a role, such as the first user of
    /// the help desk. Returns `false` when the person already exists: a missing role is added, and all else stays.
    pub async fn ensure_operator(
        &self,
        principal: &Principal,
        uid: &str,
        display_name: &str,
        role: &str,
        password: Secret,
    ) -> Result<bool, DeskError> {
        check_role(role)?;
        self.permit_on(principal, Permission::SetRoles, uid, None, [role]).await?;
        let name = check_name(display_name)
            .map_err(|rule| DeskError::Invalid { field: "display_name", rule: rule.to_owned() })?;
        let address = Address::from_parts(uid, &self.settings.get().domain)
            .map_err(|error| DeskError::Invalid { field: "uid", rule: error.to_string() })?;
        let source_id = format!("{LOCAL_SOURCE}:{}", address.local());
        let id = person_uuid(&source_id);
        let dn = tree::person(self.directory.suffix(), id);
        if self.ensure_role(principal, &dn, role).await? {
            return Ok(false);
        }
        self.check_unused(&address, &dn).await?;
        let password = self.first_password(password, Timestamp::now()).await?;
        let detail = json!({ "address": address, "name": name, "role": role });
        let mut audited_change = self.announce(principal.actor(), "operator.add", &dn, detail).await?;
        let ownership = AddressOwnership { owner: &dn, kind: AddressKind::Primary, until: None };
        audited_change.is_begun = match self.assign(&address, ownership).await {
            Ok(assignment) => !matches!(assignment, AddressAssignment::Held(_)),
            Err(error) => return Err(self.not_assigned(audited_change, error).await),
        };
        let entry = operator_entry(person_entry(&dn, id), &name, &address)
            .with(attr::PROVOST_SOURCE_ID, source_id)
            .with(attr::PROVOST_ROLE, role);
        let entry = password.into_iter().fold(entry, |entry, (name, value)| entry.with(name, value));
        let added = self.directory.add(entry).await.map(drop);
        let is_there = matches!(added, Err(DirectoryError::AlreadyExists(_)));
        match self.conclude(audited_change, added).await {
            // Another process has created the person since the read.
            Err(error) if is_there => {
                if self.ensure_role(principal, &dn, role).await? {
                    Ok(false)
                } else {
                    Err(error)
                }
            }
            concluded => concluded.map(|_| true),
        }
    }

    /// Adds `role` to the person at `dn` if it is missing; `false` when there is no such person.
    async fn ensure_role(&self, principal: &Principal, dn: &Dn, role: &str) -> Result<bool, DeskError> {
        let Some(entry) = tree::read_provider(&self.directory, dn, &["*", "+"]).await? else { return Ok(false) };
        let person = CurrentPerson { entry, is_expected: false };
        if person.entry.texts(attr::PROVOST_ROLE).any(|held| held.eq_ignore_ascii_case(role)) {
            return Ok(true);
        }
        let change = Modification::add(AttributeDescription::of(attr::PROVOST_ROLE), vec![role.into()]);
        let before: Vec<&str> = person.entry.texts(attr::PROVOST_ROLE).collect();
        let detail = json!({ "before": before, "after": before.iter().copied().chain([role]).collect::<Vec<_>>() });
        self.change(principal.actor(), "role.set", &person, vec![change], detail).await.map(|_| true)
    }
}

/// Checks a display name by the rules for names of a registrar's file. The error is the broken rule.
fn check_name(display_name: &str) -> Result<String, &'static str> {
    let name = crate::source::text(display_name)?;
    if name.is_empty() {
        return Err("must not be empty");
    }
    if name.chars().any(char::is_control) {
        return Err("a control character within the name");
    }
    Ok(name)
}

fn check_role(role: &str) -> Result<(), DeskError> {
    if Role::parse(role).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = crate::ROLES.iter().filter(|role| **role != Role::Oneself).map(|role| role.name()).collect();
    Err(DeskError::Invalid { field: "role", rule: format!("one of {}", known.join(", ")) })
}

fn operator_entry(entry: Entry, name: &str, address: &Address) -> Entry {
    let (given, family) = name.rsplit_once(char::is_whitespace).unwrap_or(("", name));
    let entry = if given.trim().is_empty() { entry } else { entry.with(attr::GIVEN_NAME, given.trim()) };
    entry
        .with(attr::SN, family)
        .with(attr::CN, name)
        .with(attr::DISPLAY_NAME, name)
        .with(attr::UID, address.local())
        .with(attr::MAIL, address.as_str())
        .with(attr::MAIL_LOCAL_ADDRESS, address.as_str())
        .with(attr::EDU_PERSON_AFFILIATION, "staff")
        .with(attr::EDU_PERSON_PRIMARY_AFFILIATION, "staff")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_roles_of_people_are_accepted() {
        assert!(check_role("helpdesk").is_ok());
        assert!(check_role("mailcore").is_err(), "the role of a service was accepted for a person");
    }

    #[test]
    fn a_refused_display_name_is_answered_with_its_rule() {
        assert_eq!(check_name("  Dana   Desk ").as_deref(), Ok("Dana Desk"));
        let long = "x".repeat(201);
        for (name, rule) in [
            (" ", "must not be empty"),
            ("a\u{1}b", "a control character within the name"),
            ("a\u{202E}b", "an invisible character"),
            ("Dana \u{E000}", "a character that is unassigned or private in Unicode"),
            (&long, "longer than 200 characters"),
        ] {
            let refused = check_name(name).expect_err(name);
            assert!(refused.starts_with(rule), "{name:?}: {refused}");
        }
    }
}
