//! Lists of people: page by page, so that a list of everyone fits into bounded memory.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::Timestamp;
use provost_client::{LdapSearch, Scope};
use provost_schema::attr;

use super::{Desk, DeskError};
use crate::people_list::{LIST_ATTRIBUTES, ListedPerson, PeopleFilter};
use crate::{Permission, Principal, tree};

/// Audit action of a list, which changes nothing.
const LIST_PEOPLE: &str = "people.list";
/// Maximum number of people in one page of [`Desk::people_page`].
pub const PEOPLE_PAGE_MAX: usize = 1000;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPage {
    /// The people, in the order of their ids.
    pub people: Vec<ListedPerson>,
    /// The cursor of the next page; `None` at the end of the list.
    pub next: Option<String>,
}

impl Desk {
    /// Passes the people that match on to `each` as the directory returns them, in no particular order, until `each`
    /// breaks. The list is audited first. A failure after the first page leaves the list incomplete.
    pub async fn list_people(
        &self,
        principal: &Principal,
        filter: &PeopleFilter,
        mut each: impl FnMut(ListedPerson) -> ControlFlow<()>,
    ) -> Result<(), DeskError> {
        self.audit_list(principal, filter).await?;
        self.each_person(filter, &LIST_ATTRIBUTES, &mut each).await
    }

    /// The people that match whose ids follow `after`, at most `limit` and [`PEOPLE_PAGE_MAX`]. The first page is
    /// audited.
    ///
    /// Pages are ordered by id, which never changes: a person who stays in the list is on exactly one page, whatever
    /// changes between two requests. The directory cannot sort, so each page costs one search of the whole list, of
    /// which only one page is held.
    pub async fn people_page(
        &self,
        principal: &Principal,
        filter: &PeopleFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage, DeskError> {
        match after {
            None => self.audit_list(principal, filter).await?,
            Some(_) => self.permit(principal, Permission::ListPeople).await?,
        }
        let limit = limit.clamp(1, PEOPLE_PAGE_MAX);
        let mut page: BTreeMap<String, ListedPerson> = BTreeMap::new();
        let mut keep = |person: ListedPerson| {
            if after.is_none_or(|after| person.id.as_str() > after) {
                page.insert(person.id.clone(), person);
                // One person more shows that another page follows.
                if page.len() > limit + 1 {
                    page.pop_last();
                }
            }
            ControlFlow::Continue(())
        };
        self.each_person(filter, &LIST_ATTRIBUTES, &mut keep).await?;
        let has_more = page.len() > limit;
        let people: Vec<ListedPerson> = page.into_values().take(limit).collect();
        let next = people.last().filter(|_| has_more).map(|person| person.id.clone());
        Ok(ListedPage { people, next })
    }

    async fn audit_list(&self, principal: &Principal, filter: &PeopleFilter) -> Result<(), DeskError> {
        self.permit(principal, Permission::ListPeople).await?;
        let detail = serde_json::json!({ "filter": filter });
        let recorded = self.audit.record(principal.actor(), LIST_PEOPLE, "", detail).await;
        let not_audited = |error| DeskError::AuditUnavailable(format!("the list cannot be audited: {error}"));
        recorded.map(drop).map_err(not_audited)
    }

    async fn each_person(
        &self,
        filter: &PeopleFilter,
        attributes: &[&str],
        each: &mut impl FnMut(ListedPerson) -> ControlFlow<()>,
    ) -> Result<(), DeskError> {
        let (zone, now) = (self.settings.get().time_zone, Timestamp::now());
        let ldap = filter.ldap(&zone).map_err(|(field, rule)| DeskError::Invalid { field, rule })?;
        let search = LdapSearch {
            base: tree::people(self.directory.suffix()),
            scope: Scope::One,
            filter: ldap,
            attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
            limit: None,
        };
        let pages = self.directory.search_pages(&search, |entries| {
            let people = entries.iter().filter(|entry| entry.first(attr::PROVOST_PERSON_ID).is_some());
            let mut people = people.map(|entry| filter.listed(ListedPerson::of_entry(entry, &zone, now)));
            people.try_for_each(|person| if filter.matches(&person) { each(person) } else { ControlFlow::Continue(()) })
        });
        Ok(pages.await?)
    }
}
