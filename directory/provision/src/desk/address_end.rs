//! Plans the end of addresses in a run of the lifecycle.

use std::collections::BTreeMap;

use jiff::Timestamp;
use provost_client::{DirectoryError, LdapSearch, Scope};
use provost_entry::time::format_generalized;
use provost_entry::{AttributeDescription, Dn, Entry, Filter};
use provost_policy::PolicySet;
use provost_schema::{attr, class};

use super::{Desk, DeskError};
use crate::lifecycle::{
    AddressEnd, EndedAddresses, LifecyclePlanner, OWNER_ATTRIBUTES, freed, owner_of, quarantine_days,
};
use crate::tree;

/// Maximum number of addresses, and of classes, that end in one run. The next run goes on.
const ENDS_MAX: usize = 5000;

impl Desk {
    /// Adds the changes of all addresses whose time or quarantine is over. An owner whom the plan writes already waits
    /// for the next run, since one plan writes an entry once; mail is refused from the end on, whatever the run does.
    pub(super) async fn plan_address_ends(
        &self,
        planner: &mut LifecyclePlanner,
        policies: &PolicySet,
        now: Timestamp,
    ) -> Result<(), DeskError> {
        let (mut of_owners, settings) = (BTreeMap::<String, Vec<Entry>>::new(), self.settings.get());
        for entry in self.ended_addresses(now).await? {
            match AddressEnd::of(&entry, now) {
                Some(AddressEnd::OfOwnership) => {
                    let owner = owner_of(&entry).map(|owner| owner.to_string()).unwrap_or_default();
                    of_owners.entry(owner).or_default().push(entry);
                }
                Some(AddressEnd::OfQuarantine) if !planner.writes(&entry.dn) => planner.push_change(freed(&entry)),
                _ => {}
            }
        }
        for (owner, addresses) in of_owners {
            let owner = match Dn::parse(&owner) {
                Ok(dn) if planner.writes(&dn) => continue,
                Ok(dn) => tree::read_provider(&self.directory, &dn, &OWNER_ATTRIBUTES).await?,
                Err(_) => None,
            };
            let setting = settings.address_quarantine;
            let days = owner.as_ref().map_or(setting.into(), |owner| quarantine_days(policies, owner, now, setting));
            let ended = EndedAddresses { owner: owner.as_ref(), addresses: &addresses, quarantine_days: days };
            if let Some(change) = ended.change(now, &settings.time_zone) {
                planner.push_change(change);
            }
        }
        Ok(())
    }

    /// The address entries whose provostUntil has passed, in the order of their names.
    async fn ended_addresses(&self, now: Timestamp) -> Result<Vec<Entry>, DeskError> {
        let of_class = Filter::equal(attr::OBJECT_CLASS, class::PROVOST_ADDRESS_ENTRY);
        self.ended(tree::addresses(self.directory.suffix()), vec![of_class], "*", now).await
    }

    /// The children of `base` that match `filters` and whose provostUntil has passed, in the order of their names, with the
    /// attribute `wanted` (`*` for all) and entryCSN; at most [`ENDS_MAX`].
    pub(in crate::desk) async fn ended(
        &self,
        base: Dn,
        mut filters: Vec<Filter>,
        wanted: &str,
        now: Timestamp,
    ) -> Result<Vec<Entry>, DeskError> {
        let until = AttributeDescription::of(attr::PROVOST_UNTIL);
        filters.push(Filter::LessOrEqual(until, format_generalized(now).into_bytes()));
        let search = LdapSearch {
            base,
            scope: Scope::One,
            filter: Filter::And(filters),
            attributes: vec![wanted.to_owned(), attr::ENTRY_CSN.to_owned()],
            limit: None,
        };
        let mut entries = match self.directory.search_provider(search).await {
            Err(DirectoryError::NoSuchObject(_)) => Vec::new(),
            found => found?,
        };
        entries.sort_by(|one, other| one.dn.as_str().cmp(other.dn.as_str()));
        entries.truncate(ENDS_MAX);
        Ok(entries)
    }
}
