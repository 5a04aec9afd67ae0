//! Passwords, roles, and the accounts of the help desk's own staff.

use provost_client::DirectoryError;
use provost_credential::{Scheme, Secret};
use provost_entry::{Address, AttributeDescription, Dn, Entry, Modification};
use provost_schema::attr;
use rand::Rng;
use serde_json::json;

use super::registry::AddressAssignment;
use super::{ChangeTarget, CurrentPerson, Desk, DeskError};
use crate::plan::person_uuid;
use crate::source::check_password;
use crate::write::{AddressKind, person_entry};
use crate::{Permission, Principal, Role, tree};

/// Lower-case letters and digits without those that look alike on paper (l and 1, o and 0): 32 of them, 5 bits each.
const READABLE: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Groups of a generated password, of [`GROUP_CHARS`] each: 80 bits in all.
const GROUPS: usize = 4;
/// Characters of one group.
const GROUP_CHARS: usize = 4;
/// Source name of people who are in no registrar's file.
const LOCAL_SOURCE: &str = "local";

/// A password that was set.
pub struct StoredPassword {
    /// The password itself.
    pub password: Secret,
    /// The stored value of userPassword, which has replaced all others of the person.
    pub hash: String,
    /// Id of the audit record.
    pub audit_id: String,
}

impl Desk {
    /// Sets `password`, or a generated one when it is `None`. The password is returned only here.
    pub async fn reset_password(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        password: Option<Secret>,
    ) -> Result<StoredPassword, DeskError> {
        let person = self.target(principal, Permission::ResetPassword, &target.into()).await?;
        let generated = password.is_none();
        let password = password.unwrap_or_else(|| generate(&mut rand::rng()));
        check_password(password.reveal())
            .map_err(|rule| DeskError::Invalid { field: "password", rule: rule.to_owned() })?;
        let hash = hash(password.clone(), self.settings.get().scheme).await?;
        let change =
            Modification::replace(AttributeDescription::of(attr::USER_PASSWORD), vec![hash.clone().into_bytes()]);
        let detail = json!({ "generated": generated, "had_one": has_password(&person) });
        let audit_id = self.change(principal.actor(), "password.reset", &person, vec![change], detail).await?;
        Ok(StoredPassword { password, hash, audit_id })
    }

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
        check_password(password.reveal())
            .map_err(|rule| DeskError::Invalid { field: "password", rule: rule.to_owned() })?;
        let address = Address::from_parts(uid, &self.settings.get().domain)
            .map_err(|error| DeskError::Invalid { field: "uid", rule: error.to_string() })?;
        let source_id = format!("{LOCAL_SOURCE}:{}", address.local());
        let id = person_uuid(&source_id);
        let dn = tree::person(self.directory.suffix(), id);
        if self.ensure_role(principal, &dn, role).await? {
            return Ok(false);
        }
        self.check_unused(&address, &dn).await?;
        let hash = hash(password, self.settings.get().scheme).await?;
        let detail = json!({ "address": address, "name": name, "role": role });
        let mut audited_change = self.announce(principal.actor(), "operator.add", &dn, detail).await?;
        audited_change.is_begun = match self.assign(&address, &dn, AddressKind::Primary).await {
            Ok(assignment) => !matches!(assignment, AddressAssignment::Held),
            Err(error) => return Err(self.not_assigned(audited_change, error).await),
        };
        let entry = operator_entry(person_entry(&dn, id), &name, &address)
            .with(attr::PROVOST_SOURCE_ID, source_id)
            .with(attr::PROVOST_ROLE, role)
            .with(attr::USER_PASSWORD, hash);
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

fn has_password(person: &CurrentPerson) -> bool {
    !person.entry.values(attr::USER_PASSWORD).is_empty()
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

/// Hashes on a blocking thread.
async fn hash(password: Secret, scheme: Scheme) -> Result<String, DeskError> {
    let hashed = tokio::task::spawn_blocking(move || provost_credential::hash(&password, scheme)).await;
    hashed.map_err(|error| DeskError::Unavailable(format!("the password was not hashed: {error}")))
}

/// Generates a password such as `xk4m-29ab-cdef-7hij`: 80 bits.
fn generate(random: &mut (impl Rng + rand::CryptoRng)) -> Secret {
    let mut text = String::with_capacity(GROUPS * (GROUP_CHARS + 1));
    for place in 0..GROUPS * GROUP_CHARS {
        if place > 0 && place % GROUP_CHARS == 0 {
            text.push('-');
        }
        let letter = READABLE.get(random.random_range(0..READABLE.len())).copied().unwrap_or(b'x');
        text.push(char::from(letter));
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_readable_and_differ() {
        let mut random = rand::rng();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let password = generate(&mut random);
            let text = password.reveal().to_owned();
            assert_eq!((text.len(), text.matches('-').count()), (19, 3));
            assert!(check_password(&text).is_ok() && !text.contains(['l', 'o', '0', '1', 'I', 'O']));
            assert!(seen.insert(text));
        }
        assert_eq!(READABLE.iter().collect::<std::collections::HashSet<_>>().len(), 32);
    }

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
