//! The table of roles and operations, which decides what each role may do.

use std::fmt;

/// The role of a person, a token or a command.
///
/// The order is the rank: only a principal whose role is at least a person's highest one can change that person's
/// credentials and roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Every person, on their own entry.
    Oneself,
    /// Help desk, first level: searches people, resets passwords.
    HelpDesk1,
    /// Help desk, second level: also changes addresses and vacation rules.
    HelpDesk2,
    /// Reads everything, changes nothing.
    Auditor,
    /// Submits files of people.
    Registrar,
    /// Changes addresses and vacation rules; sees the queue, messages and shared settings.
    Postmaster,
    /// May do everything.
    Admin,
}

/// All roles, in the order of the table's columns.
pub const ROLES: [Role; 7] =
    [Role::Registrar, Role::HelpDesk1, Role::HelpDesk2, Role::Postmaster, Role::Admin, Role::Auditor, Role::Oneself];

impl Role {
    /// Parses a value of `provostRole`, of a token or of the configuration, case ignored; `None` for an unknown role,
    /// which allows nothing. `helpdesk` means the second level, whose rights it always had.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        match name.as_str() {
            "helpdesk1" => Some(Self::HelpDesk1),
            "helpdesk2" | "helpdesk" => Some(Self::HelpDesk2),
            "auditor" => Some(Self::Auditor),
            "registrar" => Some(Self::Registrar),
            "postmaster" => Some(Self::Postmaster),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// Whether a person with these values of `provostRole` may give the role to a token of theirs: they have it, or are
    /// `admin`. A higher rank is not enough, since an auditor lacks rights of the help desk.
    pub fn is_held_by<'a>(self, roles: impl IntoIterator<Item = &'a str>) -> bool {
        roles.into_iter().filter_map(Self::parse).any(|held| held == self || held == Self::Admin)
    }

    /// Name of the role, as in `provostRole`; `self` applies to every person and is never stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Oneself => "self",
            Self::HelpDesk1 => "helpdesk1",
            Self::HelpDesk2 => "helpdesk2",
            Self::Auditor => "auditor",
            Self::Registrar => "registrar",
            Self::Postmaster => "postmaster",
            Self::Admin => "admin",
        }
    }

    /// The grant of this role for an operation.
    pub fn grant(self, operation: Permission) -> Grant {
        let row = TABLE.iter().find(|(of, _)| *of == operation);
        let column = ROLES.iter().position(|role| *role == self);
        // A test checks that each operation has a row and each role a column.
        row.zip(column).and_then(|((_, grants), column)| grants.get(column)).copied().unwrap_or(Grant::No)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a cell of the table allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Allowed on no entry.
    No,
    /// Allowed on the principal's own entry.
    Own,
    /// Allowed on every entry.
    Any,
}

/// An operation that a principal can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Find people.
    SearchPeople,
    /// List people by affiliation, state, programme and the like, with birth dates and private addresses.
    ListPeople,
    /// See a person with addresses, vacation rule and history; oneself without history, locks, sources and dates.
    ViewPerson,
    /// Set or clear the vacation rule.
    SetVacation,
    /// Set or clear the forwarding.
    SetForwarding,
    /// Set or clear a person's own quota or quota class.
    SetQuota,
    /// Set a lock on a person, or release it.
    SuspendPerson,
    /// Close an account by hand, or restore it.
    CloseAccount,
    /// Give or take away an alias.
    ChangeAddresses,
    /// Set a person's password.
    ResetPassword,
    /// Send a person an activation link, or print it. For a person who has a password, this needs the right to reset it
    /// as well.
    SendActivation,
    /// Change the roles of a person, and create people who have a role.
    SetRoles,
    /// Plan a registrar's file.
    PlanImport,
    /// See plans and jobs of imports.
    ViewImports,
    /// Apply a plan of an import.
    ApplyImport,
    /// Apply a plan of somebody else that the guard has stopped.
    OverrideGuard,
    /// Plan and apply a run of the lifecycle.
    RunLifecycle,
    /// Prolong the phase of an account.
    ExtendAccount,
    /// Ask for the purge of a closed account, or confirm it.
    PurgeAccount,
    /// See the messages that wait to be sent.
    ViewQueue,
    /// Find messages and see their deliveries.
    ViewMessages,
    /// See the state of the node.
    ViewNode,
    /// Read all audit records.
    ViewAudit,
    /// List the tokens.
    ViewTokens,
    /// Create and revoke tokens.
    ChangeTokens,
    /// See groups, their lists and their members.
    ViewGroups,
    /// Create, change and delete groups.
    ChangeGroups,
    /// See the settings that all nodes share.
    ViewSettings,
    /// Change the settings that all nodes share.
    ChangeSettings,
    /// Create the containers of the directory.
    InitDirectory,
}

const NO: Grant = Grant::No;
const OWN: Grant = Grant::Own;
const ANY: Grant = Grant::Any;

/// Operation by role; the columns are those of [`ROLES`].
#[rustfmt::skip]
pub const TABLE: [(Permission, [Grant; ROLES.len()]); 30] = [
    //                           registrar, help desk 1, 2, postmaster, admin, auditor, self
    (Permission::SearchPeople,    [ANY, ANY, ANY, ANY, ANY, ANY, NO ]),
    (Permission::ListPeople,      [ANY, NO , ANY, NO , ANY, ANY, NO ]),
    (Permission::ViewPerson,      [ANY, ANY, ANY, ANY, ANY, ANY, OWN]),
    (Permission::SetVacation,     [NO , NO , ANY, ANY, ANY, NO , OWN]),
    (Permission::SetForwarding,   [NO , NO , ANY, ANY, ANY, NO , OWN]),
    (Permission::SetQuota,        [NO , NO , NO , ANY, ANY, NO , NO ]),
    (Permission::SuspendPerson,   [NO , NO , ANY, ANY, ANY, NO , NO ]),
    (Permission::CloseAccount,    [ANY, NO , NO , NO , ANY, NO , NO ]),
    (Permission::ChangeAddresses, [NO , NO , ANY, ANY, ANY, NO , NO ]),
    (Permission::ResetPassword,   [NO , ANY, ANY, NO , ANY, NO , OWN]),
    (Permission::SendActivation,  [ANY, ANY, ANY, NO , ANY, NO , NO ]),
    (Permission::SetRoles,        [NO , NO , NO , NO , ANY, NO , NO ]),
    (Permission::PlanImport,      [ANY, NO , NO , NO , ANY, NO , NO ]),
    (Permission::ViewImports,     [ANY, NO , NO , NO , ANY, ANY, NO ]),
    (Permission::ApplyImport,     [ANY, NO , NO , NO , ANY, NO , NO ]),
    (Permission::OverrideGuard,   [NO , NO , NO , NO , ANY, NO , NO ]),
    (Permission::RunLifecycle,    [NO , NO , NO , NO , ANY, NO , NO ]),
    (Permission::ExtendAccount,   [ANY, NO , ANY, NO , ANY, NO , NO ]),
    (Permission::PurgeAccount,    [ANY, NO , NO , NO , ANY, NO , NO ]),
    (Permission::ViewQueue,       [NO , ANY, ANY, ANY, ANY, ANY, NO ]),
    (Permission::ViewMessages,    [NO , ANY, ANY, ANY, ANY, ANY, NO ]),
    (Permission::ViewNode,        [ANY, ANY, ANY, ANY, ANY, ANY, NO ]),
    (Permission::ViewAudit,       [NO , NO , NO , NO , ANY, ANY, NO ]),
    (Permission::ViewTokens,      [NO , NO , NO , NO , ANY, ANY, NO ]),
    (Permission::ChangeTokens,    [NO , NO , NO , NO , ANY, NO , NO ]),
    (Permission::ViewGroups,      [ANY, ANY, ANY, ANY, ANY, ANY, NO ]),
    (Permission::ChangeGroups,    [ANY, NO , ANY, ANY, ANY, NO , NO ]),
    (Permission::ViewSettings,    [NO , NO , NO , ANY, ANY, ANY, NO ]),
    (Permission::ChangeSettings,  [NO , NO , NO , NO , ANY, NO , NO ]),
    (Permission::InitDirectory,   [NO , NO , NO , NO , ANY, NO , NO ]),
];

impl Permission {
    /// Name of the operation, as in the audit of a refusal and in the printed table.
    pub fn name(self) -> &'static str {
        match self {
            Self::SearchPeople => "people.search",
            Self::ListPeople => "people.list",
            Self::ViewPerson => "person.view",
            Self::SetVacation => "vacation.set",
            Self::SetForwarding => "forwarding.set",
            Self::SetQuota => "quota.set",
            Self::SuspendPerson => "person.suspend",
            Self::CloseAccount => "account.close",
            Self::ChangeAddresses => "address.change",
            Self::ResetPassword => "password.reset",
            Self::SendActivation => "activation.send",
            Self::SetRoles => "role.set",
            Self::PlanImport => "import.plan",
            Self::ViewImports => "import.view",
            Self::ApplyImport => "import.apply",
            Self::OverrideGuard => "guard.override",
            Self::RunLifecycle => "lifecycle.run",
            Self::ExtendAccount => "account.extend",
            Self::PurgeAccount => "account.purge",
            Self::ViewQueue => "queue.view",
            Self::ViewMessages => "message.view",
            Self::ViewNode => "node.view",
            Self::ViewAudit => "audit.view",
            Self::ViewTokens => "token.view",
            Self::ChangeTokens => "token.change",
            Self::ViewGroups => "group.view",
            Self::ChangeGroups => "group.change",
            Self::ViewSettings => "settings.view",
            Self::ChangeSettings => "settings.change",
            Self::InitDirectory => "directory.init",
        }
    }

    /// Whether the operation changes credentials or rights of a person: the rank is then checked as well.
    pub fn changes_credentials(self) -> bool {
        matches!(
            self,
            Self::ResetPassword | Self::SendActivation | Self::SetRoles | Self::SuspendPerson | Self::CloseAccount
        )
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_one_row_and_one_name() {
        assert_eq!(
            TABLE.len(),
            Permission::InitDirectory as usize + 1,
            "a row is missing, or InitDirectory is not the last operation"
        );
        for (at, (operation, _)) in TABLE.iter().enumerate() {
            let others = TABLE.iter().skip(at + 1);
            assert!(others.clone().all(|(other, _)| other != operation && other.name() != operation.name()));
        }
    }

    #[test]
    fn a_role_is_held_by_those_who_have_it_and_by_admins() {
        for (role, held, expect) in [
            (Role::HelpDesk2, "helpdesk", true),
            (Role::HelpDesk2, "admin", true),
            (Role::HelpDesk2, "auditor", false),
            (Role::Admin, "postmaster", false),
            (Role::Admin, "of a later version", false),
            (Role::Admin, "", false),
        ] {
            assert_eq!(role.is_held_by([held]), expect, "{role} by '{held}'");
        }
    }

    #[test]
    fn names_are_parsed_and_unknown_ones_allow_nothing() {
        for role in ROLES.into_iter().filter(|role| *role != Role::Oneself) {
            assert_eq!(Role::parse(role.name()), Some(role));
        }
        assert_eq!(Role::parse("HelpDesk"), Some(Role::HelpDesk2), "the value of earlier versions is refused");
        for name in ["self", "mailcore", "", "root"] {
            assert_eq!(Role::parse(name), None, "{name}");
        }
    }

    #[test]
    fn an_auditor_changes_nothing_and_an_admin_may_do_all() {
        use Permission as Op;
        let reads = [
            Op::SearchPeople,
            Op::ListPeople,
            Op::ViewPerson,
            Op::ViewImports,
            Op::ViewQueue,
            Op::ViewNode,
            Op::ViewAudit,
        ];
        for (operation, _) in TABLE {
            assert_eq!(Role::Admin.grant(operation), Grant::Any);
            let may = Role::Auditor.grant(operation) != Grant::No;
            assert_eq!(may, reads.contains(&operation) || operation.name().ends_with(".view"), "{operation}");
        }
    }
}
