//! Gives addresses in the alumni domain in a run of the lifecycle.

use std::collections::HashSet;

use jiff::Timestamp;
use provost_entry::{Address, Entry};
use provost_policy::AlumniAddress;
use provost_schema::attr;

use super::{Desk, DeskError};
use crate::calendar::last_second;
use crate::lifecycle::{AlumniGrant, DueAlumni, LifecyclePlanner, held_in};
use crate::naming::{FoldedName, NameConflict, NameParts, NamingNote};
use crate::{NamingPolicy, Policies, tree};

/// Largest number that is tried to tell people of one name apart. A person for whom it does not suffice waits for the
/// next run.
const NUMBER_MAX: u32 = 10_000;

impl Desk {
    /// Adds what people who are alumni get by their naming policy and do not have yet.
    pub(super) async fn plan_alumni(
        &self,
        planner: &mut LifecyclePlanner,
        policies: &Policies,
        now: Timestamp,
    ) -> Result<(), DeskError> {
        let mut given = HashSet::new();
        for due in planner.take_alumni() {
            let Some(naming) = policies.namings.get(&due.policy) else { continue };
            let Some(alumni) = &naming.rules.alumni else { continue };
            let Some((address, note)) = self.alumni_address(&due.entry, naming, alumni, &mut given).await? else {
                continue;
            };
            self.grant_alumni(planner, (&due, naming, alumni), (&address, note), now).await?;
        }
        Ok(())
    }

    async fn grant_alumni(
        &self,
        planner: &mut LifecyclePlanner,
        (due, naming, alumni): (&DueAlumni, &NamingPolicy, &AlumniAddress),
        (address, note): (&Address, NamingNote),
        now: Timestamp,
    ) -> Result<(), DeskError> {
        let (suffix, zone) = (self.directory.suffix(), self.settings.get().time_zone);
        let read =
            async |address: &str| tree::read_provider(&self.directory, &tree::address(suffix, address), &["*"]).await;
        let entry = read(address.as_str()).await?;
        let former = match due.entry.first(attr::MAIL) {
            Some(mail) if !mail.eq_ignore_ascii_case(address.as_str()) => read(&mail.to_lowercase()).await?,
            _ => None,
        };
        let grant = AlumniGrant {
            person: &due.entry,
            address,
            entry: entry.as_ref(),
            former: former.as_ref(),
            becomes_primary: alumni.becomes_primary,
            former_until: naming.rules.keep_days.and_then(|days| last_second(now, days, &zone)),
            note,
        };
        planner.push_alumni(due, address, grant.writes(suffix));
        Ok(())
    }

    /// The address that a person has in the alumni domain, else the first one that is free.
    async fn alumni_address(
        &self,
        entry: &Entry,
        naming: &NamingPolicy,
        alumni: &AlumniAddress,
        given: &mut HashSet<Address>,
    ) -> Result<Option<(Address, NamingNote)>, DeskError> {
        let text = |name| entry.first(name).unwrap_or_default();
        let domain = alumni.pattern.domain.as_deref().unwrap_or(&naming.domain);
        let (policy, pattern) = (naming.rules.name.clone(), alumni.pattern.to_string());
        let mut note = NamingNote { policy, pattern, wanted: None, conflict: None };
        if let Some(held) = held_in(entry, domain) {
            return Ok(Some((held, note)));
        }
        let given_name = entry.first(attr::PROVOST_CHOSEN_NAME).unwrap_or_else(|| text(attr::GIVEN_NAME));
        let parts = NameParts { given: given_name, family: text(attr::SN), number: text(attr::EMPLOYEE_NUMBER) };
        let name = FoldedName::new(parts, naming);
        let Some(forms) = naming.address_forms(&alumni.pattern, parts, text(attr::UID)) else { return Ok(None) };
        let usable = forms.usable(&name);
        let numbered = (2..NUMBER_MAX).map(|number| usable.first.numbered(number));
        let first = [usable.first.numbered(1)].into_iter();
        for local in first.chain(usable.otherwise.iter().map(|form| form.numbered(1))).chain(numbered) {
            let Ok(address) = Address::from_parts(&local, domain) else { return Ok(None) };
            let conflict = match name.objection(&local) {
                None if given.contains(&address) => Some(NameConflict::Held("another person of this run".to_owned())),
                None => self.alumni_conflict(&address, entry).await?,
                objection => objection,
            };
            match conflict {
                None => {
                    given.insert(address.clone());
                    return Ok(Some((address, note)));
                }
                Some(conflict) if note.conflict.is_none() => {
                    (note.wanted, note.conflict) = (Some(local), Some(conflict));
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }

    async fn alumni_conflict(&self, address: &Address, person: &Entry) -> Result<Option<NameConflict>, DeskError> {
        match self.registered(address).await? {
            Some(held) if held.owner().as_ref() == Some(&person.dn) => return Ok(None),
            Some(held) if held.is_quarantined() => return Ok(Some(NameConflict::Quarantined)),
            Some(_) => return Ok(Some(NameConflict::Held("somebody else".to_owned()))),
            None => {}
        }
        match self.check_unused(address, &person.dn).await {
            Ok(()) => Ok(None),
            Err(DeskError::InUse(_)) => Ok(Some(NameConflict::Held("somebody else".to_owned()))),
            Err(error) => Err(error),
        }
    }
}
