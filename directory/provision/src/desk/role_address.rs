//! The addresses of roles, which always exist in each served domain: who gets their mail.

use provost_client::{DirectoryError, LdapSearch, Scope};
use provost_entry::{Address, AttributeDescription, Entry, Filter, Modification};
use provost_schema::{attr, class};
use serde_json::json;

use super::{Desk, DeskError, ReadPurpose};
use crate::role_address::{ROLE, role_entry};
use crate::{Permission, Principal, tree};

/// Maximum number of targets of one role.
const TARGETS_MAX: usize = 16;

/// The address of a role.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RoleAddress {
    /// The address in full, with its domain.
    pub address: String,
    /// Addresses of people who get its mail: the first that can take it. Without one, the person whose login is
    /// `postmaster`.
    pub targets: Vec<String>,
}

impl Desk {
    /// All addresses of roles, in the order of their names.
    pub async fn role_addresses(&self, principal: &Principal) -> Result<Vec<RoleAddress>, DeskError> {
        self.permit(principal, Permission::ViewSettings).await?;
        let search = LdapSearch {
            base: tree::addresses(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::And(vec![
                Filter::equal(attr::OBJECT_CLASS, class::PROVOST_ADDRESS_ENTRY),
                Filter::equal(attr::PROVOST_ADDRESS_KIND, ROLE),
            ]),
            attributes: vec![attr::PROVOST_ADDRESS.to_owned(), attr::PROVOST_TARGET.to_owned()],
            limit: None,
        };
        let (entries, _) = self.read_for(ReadPurpose::Show, search).await?;
        let mut roles: Vec<RoleAddress> = entries.iter().map(role_of).collect();
        roles.sort_by(|one, other| one.address.cmp(&other.address));
        Ok(roles)
    }

    /// Says who gets the mail of a role: addresses of people of this site. Makes the address if its domain is served and
    /// nobody has it. Returns the audit id.
    pub async fn set_role_targets(
        &self,
        principal: &Principal,
        address: &str,
        targets: &[String],
    ) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        let invalid = |field, rule: String| DeskError::Invalid { field, rule };
        let address = Address::parse(address).map_err(|error| invalid("address", error.to_string()))?;
        self.check_served(&address).await?;
        let targets = self.checked_targets(&address, targets).await?;
        let dn = tree::address(self.directory.suffix(), address.as_str());
        let held = tree::read_provider(&self.directory, &dn, &["*", attr::ENTRY_CSN]).await?;
        let is_role =
            |entry: &Entry| entry.first(attr::PROVOST_ADDRESS_KIND).is_some_and(|kind| kind.eq_ignore_ascii_case(ROLE));
        if held.as_ref().is_some_and(|entry| !is_role(entry)) {
            return Err(DeskError::InUse(address.to_string()));
        }
        let before = held.as_ref().map(|entry| role_of(entry).targets).unwrap_or_default();
        let detail = json!({ "address": address, "before": before, "after": targets });
        let audited_change = self.announce(principal.actor(), "address.role", &dn, detail).await?;
        let values = targets.iter().map(|target| target.as_str().into()).collect();
        let written = match held {
            Some(entry) => {
                let change = Modification::replace(AttributeDescription::of(attr::PROVOST_TARGET), values);
                let conditions = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
                self.directory.modify(&dn, vec![change], conditions).await.map(drop)
            }
            None => {
                let mut entry = role_entry(self.directory.suffix(), &address);
                entry.set(AttributeDescription::of(attr::PROVOST_TARGET), values);
                self.directory.add(entry).await.map(drop)
            }
        };
        self.conclude(audited_change, written).await
    }

    async fn checked_targets(&self, role: &Address, targets: &[String]) -> Result<Vec<Address>, DeskError> {
        let invalid = |rule: String| DeskError::Invalid { field: "target", rule };
        if targets.is_empty() || targets.len() > TARGETS_MAX {
            return Err(invalid(format!("1 to {TARGETS_MAX} addresses of people")));
        }
        let mut checked = Vec::new();
        for target in targets {
            let target = Address::parse(target).map_err(|error| invalid(error.to_string()))?;
            if target == *role {
                return Err(invalid(format!("{target} is the role itself")));
            }
            match self.find(target.as_str(), ReadPurpose::Change).await {
                Ok(_) => checked.push(target),
                Err(DeskError::NotFound(_)) => return Err(invalid(format!("{target} is the address of no person"))),
                Err(error) => return Err(error),
            }
        }
        checked.sort_unstable();
        checked.dedup();
        Ok(checked)
    }
}

fn role_of(entry: &Entry) -> RoleAddress {
    let mut targets: Vec<String> = entry.texts(attr::PROVOST_TARGET).map(str::to_owned).collect();
    targets.sort_unstable();
    RoleAddress { address: entry.first(attr::PROVOST_ADDRESS).unwrap_or_default().to_owned(), targets }
}

/// Creates the addresses of roles that are missing in `domains`. An address that a person has stays theirs. Returns the
/// DNs of the entries that this call created.
pub(crate) async fn ensure_roles(
    directory: &provost_client::Directory,
    domains: &[String],
) -> Result<Vec<String>, DirectoryError> {
    let mut made = Vec::new();
    for address in crate::role_address::of_domains(domains) {
        let entry = role_entry(directory.suffix(), &address);
        let dn = entry.dn.clone();
        let is_taken =
            tree::read_provider(directory, &dn, &["1.1"]).await?.is_some() || is_claimed(directory, &address).await?;
        if is_taken {
            continue;
        }
        match directory.add(entry).await {
            Ok(_) => made.push(dn.as_str().to_owned()),
            // Another process has created the entry since the search.
            Err(DirectoryError::AlreadyExists(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

/// Whether a person's attributes name the address: its entry would take it from them.
async fn is_claimed(directory: &provost_client::Directory, address: &Address) -> Result<bool, DirectoryError> {
    let search = LdapSearch {
        base: tree::people(directory.suffix()),
        scope: Scope::One,
        filter: Filter::Or(vec![
            Filter::equal(attr::MAIL, address.as_str()),
            Filter::equal(attr::MAIL_LOCAL_ADDRESS, address.as_str()),
        ]),
        attributes: vec!["1.1".to_owned()],
        limit: Some(1),
    };
    match directory.search_provider(search).await {
        Ok(found) => Ok(!found.is_empty()),
        Err(DirectoryError::NoSuchObject(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
