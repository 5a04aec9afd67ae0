//! The principal that asks for an operation.

use uuid::Uuid;

use crate::{Actor, Grant, Permission, Role};

/// A principal: a person with their roles, a token with its role, or a command of this machine.
///
/// An interface authenticates the caller and makes this value; only [`Desk`](crate::Desk) decides what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    actor: Actor,
    roles: Vec<Role>,
    /// entryUUID of a person, which identifies their own entry.
    person: Option<Uuid>,
    /// entryUUID of the person who acts, also by a token of theirs.
    behind: Option<Uuid>,
}

impl Principal {
    /// A person signed in to the pages, with the values of their `provostRole`; unknown values are ignored.
    pub fn person<'a>(uid: &str, entry_uuid: Uuid, roles: impl IntoIterator<Item = &'a str>) -> Self {
        let roles = roles.into_iter().filter_map(Role::parse).chain([Role::Oneself]).collect();
        Self {
            actor: Actor { name: uid.to_owned(), via: "web" },
            roles,
            person: Some(entry_uuid),
            behind: Some(entry_uuid),
        }
    }

    /// A program that presented a token over REST.
    pub fn token(name: &str, role: Role) -> Self {
        Self {
            actor: Actor { name: format!("token:{name}"), via: "api" },
            roles: vec![role],
            person: None,
            behind: None,
        }
    }

    /// The same token, of the person with this entryUUID. Their own entry is an entry as any other to it; but it is no
    /// second person beside them.
    pub fn of_owner(self, entry_uuid: Uuid) -> Self {
        Self { behind: Some(entry_uuid), ..self }
    }

    /// The person who acts, as far as it is known.
    pub(crate) fn behind(&self) -> Option<Uuid> {
        self.behind
    }

    /// A user of this machine who runs a command, with the role that the machine grants, or none.
    pub fn command(user: &str, role: Option<Role>) -> Self {
        Self {
            actor: Actor { name: format!("cli:{user}"), via: "cli" },
            roles: role.into_iter().collect(),
            person: None,
            behind: None,
        }
    }

    /// The node itself, for what it does on schedule.
    pub fn node() -> Self {
        Self {
            actor: Actor { name: "node".to_owned(), via: "node" },
            roles: vec![Role::Admin],
            person: None,
            behind: None,
        }
    }

    /// The same principal with the interface `cli`: for a command that was given a token.
    pub fn on_the_command_line(mut self) -> Self {
        self.actor.via = "cli";
        self
    }

    /// The actor that the audit records.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The widest grant that any of the principal's roles gives for an operation.
    pub fn grant(&self, operation: Permission) -> Grant {
        let grants = self.roles.iter().map(|role| role.grant(operation));
        grants.fold(Grant::No, |widest, grant| match (widest, grant) {
            (Grant::Any, _) | (_, Grant::Any) => Grant::Any,
            (Grant::Own, _) | (_, Grant::Own) => Grant::Own,
            _ => Grant::No,
        })
    }

    /// Whether the principal is the person with this entryUUID.
    pub(crate) fn is_person(&self, entry_uuid: Option<Uuid>) -> bool {
        self.person.is_some() && self.person == entry_uuid
    }

    /// Whether a role of the principal grants an operation on any entry ([`Grant::Any`]). Pages use this to hide what
    /// would fail; the operation checks again. [`Principal::may_on`] also compares the principal's roles with those of
    /// the person.
    pub fn may(&self, operation: Permission) -> bool {
        self.grant(operation) == Grant::Any
    }

    /// Whether the principal may perform an operation on the person with this entryUUID and these values of
    /// `provostRole`.
    pub fn may_on<'a>(
        &self,
        operation: Permission,
        entry_uuid: Option<Uuid>,
        roles: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let is_own = self.is_person(entry_uuid);
        match self.grant(operation) {
            Grant::No => false,
            Grant::Own => is_own,
            // A person may always change their own credentials, even if the View shows outdated roles.
            Grant::Any => !operation.changes_credentials() || is_own || self.ranks_at_least(roles),
        }
    }

    /// Whether none of `roles` ranks above the principal's own highest one. A role that this version does not know
    /// allows nothing to its holder, but ranks highest here: another version may allow everything with it.
    pub(crate) fn ranks_at_least<'a>(&self, roles: impl IntoIterator<Item = &'a str>) -> bool {
        let own = self.roles.iter().max();
        roles.into_iter().map(|role| Role::parse(role).unwrap_or(Role::Admin)).max() <= own.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_grant_counts_and_grant_own_covers_only_ones_own_entry() {
        let zoe = Uuid::from_u128(1);
        let person = Principal::person("zoe", zoe, ["nonsense"]);
        let token = Principal::token("backup", Role::Admin).of_owner(zoe);
        assert_eq!(token.behind(), person.behind());
        assert!(!token.is_person(Some(zoe)), "a token has no entry of its own");
        assert!(person.may_on(Permission::SetVacation, Some(zoe), []));
        assert!(!person.may_on(Permission::SetVacation, Some(Uuid::from_u128(2)), []));
        assert!(!person.may_on(Permission::SetVacation, None, []));
        assert!(!person.may(Permission::ViewPerson));
        let desk = Principal::person("zoe", zoe, ["registrar", "helpdesk1"]);
        assert!(desk.may(Permission::PlanImport) && desk.may(Permission::ViewQueue));
        assert!(!Principal::command("mallory", None).may(Permission::SearchPeople));
    }

    #[test]
    fn nobody_changes_the_credentials_of_a_higher_role() {
        for (own, other, may) in [
            (Role::HelpDesk1, "helpdesk1", true),
            (Role::HelpDesk2, "of a later version", false),
            (Role::Postmaster, "", false),
            (Role::Admin, "of a later version", true),
            (Role::HelpDesk1, "helpdesk", false),
            (Role::HelpDesk2, "auditor", false),
            (Role::HelpDesk2, "registrar", false),
            (Role::HelpDesk2, "postmaster", false),
            (Role::HelpDesk2, "admin", false),
            (Role::HelpDesk2, "ADMIN", false),
            (Role::Admin, "admin", true),
        ] {
            let token = Principal::token("t", own);
            assert_eq!(token.may_on(Permission::ResetPassword, None, [other]), may, "{own} on '{other}'");
            assert!(token.may_on(Permission::ViewPerson, None, [other]));
        }
    }
}
