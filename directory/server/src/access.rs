//! Access rules.
//!
//! | identity | reads | writes |
//! |---|---|---|
//! | any, also anonymous | root DSE, subschema | nothing |
//! | person | own entry without secrets | own vacation and language; own password by RFC 3062 |
//! | `auditor` | all without secrets | own password by RFC 3062 |
//! | `mailcore` | all | own password by RFC 3062 |
//! | `provisioner`, root | all | all |
//!
//! Secrets are the attributes of `attr::SECRETS`: password, history, SCRAM verifiers, activation link.

use provost_entry::Dn;
use provost_schema::{attr, class};
use uuid::Uuid;

use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::message::WriteOperation;
use crate::tree::{EntryNumber, Tree};

/// Attributes that people may change in their own entry.
const OWN_ATTRIBUTES: &[&str] = &[
    attr::MAIL_AUTO_REPLY_MODE,
    attr::MAIL_AUTO_REPLY_SUBJECT,
    attr::MAIL_AUTO_REPLY_TEXT,
    attr::VACATION_START_DATE,
    attr::VACATION_END_DATE,
    attr::PROVOST_VACATION_INTERVAL,
    attr::PREFERRED_LANGUAGE,
];

/// Options that people may use with these attributes. The server keeps every attribute description ever written in a
/// bounded table that only grows, so a person who could invent options could fill the table for everybody.
const OWN_OPTIONS: &[&str] = &["lang-fr", "lang-en"];
/// Maximum number of octets that a person may write to their own entry in one request: enough for vacation texts, too
/// few for a file store.
const OWN_OCTETS_MAX: usize = 32 * 1024;

/// The kind of an identity, as in the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    Anonymous,
    Person,
    Auditor,
    Mailcore,
    Provisioner,
    Root,
}

/// The identity of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The DN; empty for anonymous.
    pub(crate) dn: Dn,
    pub(crate) rights: Rights,
    /// entryUUID of the bound entry; `None` for anonymous and root.
    uuid: Option<Uuid>,
}

impl Identity {
    /// Returns the identity before any bind.
    pub(crate) fn anonymous() -> Self {
        Self { dn: Dn::root(), rights: Rights::Anonymous, uuid: None }
    }

    /// Returns the root identity, which is above all access rules.
    pub(crate) fn root(dn: Dn) -> Self {
        Self { dn, rights: Rights::Root, uuid: None }
    }

    /// Returns the identity with its present rights: a revoked role and a deleted entry also affect open connections.
    pub(crate) fn renewed(&self, tree: &Tree) -> Self {
        let Some(uuid) = self.uuid else { return self.clone() };
        let now = tree.find(&self.dn).map(|place| Self::of_entry(tree, place, self.dn.clone()));
        // Another entry under the same name is another identity.
        now.filter(|now| now.uuid == Some(uuid)).unwrap_or_else(Self::anonymous)
    }

    /// Returns the identity of an entry. A service gets the rights of its role; a service without a role and all other
    /// entries get those of a person.
    pub(crate) fn of_entry(tree: &Tree, place: EntryNumber, dn: Dn) -> Self {
        let roles = tree.values(place, attr::PROVOST_ROLE);
        let has = |role: &str| roles.iter().any(|value| value.eq_ignore_ascii_case(role.as_bytes()));
        let rights = match () {
            // A role in a person's entry counts for the web and REST, not for the directory.
            () if !tree.has_class(place, class::PROVOST_SERVICE) => Rights::Person,
            () if has("provisioner") => Rights::Provisioner,
            () if has("mailcore") => Rights::Mailcore,
            () if has("auditor") => Rights::Auditor,
            () => Rights::Person,
        };
        let uuid = tree.snapshot(place).and_then(|snapshot| snapshot.record.head()).map(|head| head.uuid);
        Self { dn, rights, uuid }
    }

    /// Whether the identity is root or a service with a role, which may send larger requests and run many searches at
    /// once.
    pub(crate) fn is_privileged(&self) -> bool {
        !matches!(self.rights, Rights::Anonymous | Rights::Person)
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.rights, Rights::Anonymous)
    }

    /// Whether this identity may read secrets, and name them in filters.
    pub(crate) fn reads_secrets(&self) -> bool {
        matches!(self.rights, Rights::Mailcore | Rights::Provisioner | Rights::Root)
    }

    /// Returns the number of the only entry that this identity may read, or `None` when it may read all entries. An
    /// error for anonymous, and for a person whose entry is gone.
    pub(crate) fn readable(&self, tree: &Tree) -> OperationResult<Option<EntryNumber>> {
        match self.rights {
            Rights::Anonymous => Err(LdapResult::new(ResultCode::InsufficientAccessRights, "bind first")),
            Rights::Person => {
                tree.find(&self.dn).map(Some).ok_or_else(|| LdapResult::new(ResultCode::NoSuchObject, ""))
            }
            _ => Ok(None),
        }
    }

    /// Checks that this identity may make this write.
    pub(crate) fn check_write(&self, operation: &WriteOperation) -> OperationResult<()> {
        let refused = || Err(LdapResult::new(ResultCode::InsufficientAccessRights, ""));
        match (self.rights, operation) {
            (Rights::Provisioner | Rights::Root, _) => Ok(()),
            (Rights::Person, WriteOperation::Modify { dn, items }) => {
                let own = Dn::parse(dn).is_ok_and(|dn| dn == self.dn);
                if !own || !items.iter().all(|item| is_own(&item.attribute)) {
                    return refused();
                }
                let octets: usize = items.iter().flat_map(|item| &item.values).map(Vec::len).sum();
                if octets > OWN_OCTETS_MAX {
                    return Err(LdapResult::new(
                        ResultCode::AdminLimitExceeded,
                        "the request is too large for a change of one's own entry",
                    ));
                }
                Ok(())
            }
            _ => refused(),
        }
    }

    /// Whether this identity may set the password of this entry (RFC 3062).
    pub(crate) fn may_set_password(&self, target: &Dn) -> bool {
        match self.rights {
            Rights::Provisioner | Rights::Root => true,
            Rights::Anonymous => false,
            Rights::Person | Rights::Auditor | Rights::Mailcore => *target == self.dn,
        }
    }
}

/// Whether people may change this attribute in their own entry; with at most one option, of [`OWN_OPTIONS`].
fn is_own(description: &str) -> bool {
    let mut parts = description.split(';');
    let base = parts.next().unwrap_or_default();
    let among = |list: &[&str], text: &str| list.iter().any(|known| known.eq_ignore_ascii_case(text));
    among(OWN_ATTRIBUTES, base) && parts.clone().count() <= 1 && parts.all(|option| among(OWN_OPTIONS, option))
}
