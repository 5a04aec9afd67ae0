//! Groups and their mailing lists: list, show, create, change, delete.
//!
//! A group is an entry below `ou=groups`; its list is an address entry of the kind `list` that the group owns.

mod class_end;
mod input;
mod members;

use jiff::Timestamp;
use provost_client::{DirectoryError, LdapSearch, Scope};
use provost_entry::{Address, AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::{attr, class, ou};
use serde_json::json;

use super::registry::AddressOwnership;
use super::{Desk, DeskError, ReadPurpose};
use crate::plan::ENROLMENT;
use crate::write::AddressKind;
use crate::{Permission, Principal, tree};

use input::{check_name, invalid};
pub use members::{GroupMember, MEMBERS_SHOWN_MAX};

/// Maximum numbers of people and groups, and of addresses elsewhere, that the entry of a group names.
pub(crate) const GROUP_MEMBERS_MAX: usize = 100_000;
const GROUP_TARGETS_MAX: usize = 10_000;
/// Maximum number of groups that are listed.
pub const GROUPS_LISTED_MAX: usize = 10_000;

/// What a group does as a list; a field that is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupRules {
    /// What the group is for; an empty text removes it.
    pub description: Option<String>,
    /// An LDAP filter over people, who are then members; an empty text removes it.
    pub filter: Option<String>,
    /// Who may send: `anyone`, `members`, `owners`, `site`, `group:NAME` or addresses; none means the members.
    pub posters: Option<Vec<String>>,
    /// Owners, by a key of each person.
    pub owners: Option<Vec<String>>,
    /// Largest message, octets; 0 removes the limit.
    pub message_octets_max: Option<u64>,
    /// From when on the list takes no more mail.
    pub until: Option<Timestamp>,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GroupSummary {
    /// Name of the group (cn), unique at the site.
    pub name: String,
    /// `static`, `filter` or `enrolment`.
    pub kind: String,
    /// What the group is for.
    pub description: Option<String>,
    /// Course and section, of a group from enrolments.
    pub course: Option<String>,
    /// Term, of a group from enrolments.
    pub term: Option<String>,
    /// LDAP filter over people.
    pub filter: Option<String>,
    /// Who may send, besides the owners.
    pub posters: Vec<String>,
    /// Largest message, octets.
    pub message_octets_max: Option<u64>,
    /// End of the list, RFC 3339.
    pub until: Option<String>,
}

/// A group with its addresses, owners and members.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GroupDetail {
    /// The part that a list also returns.
    #[serde(flatten)]
    pub summary: GroupSummary,
    /// DN of the entry.
    pub dn: String,
    /// Addresses of the list.
    pub addresses: Vec<String>,
    /// Who owns the group and gets its reports.
    pub owners: Vec<GroupMember>,
    /// Direct members, each with the reason; at most [`MEMBERS_SHOWN_MAX`].
    pub members: Vec<GroupMember>,
    /// Whether there are more members than are shown.
    pub has_more_members: bool,
}

impl Desk {
    /// Lists the groups, at most [`GROUPS_LISTED_MAX`], by name.
    pub async fn groups(&self, principal: &Principal) -> Result<Vec<GroupSummary>, DeskError> {
        self.permit(principal, Permission::ViewGroups).await?;
        let search = LdapSearch {
            base: self.groups_dn(),
            scope: Scope::One,
            filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_GROUP),
            attributes: SUMMARY_ATTRIBUTES.map(str::to_owned).to_vec(),
            limit: Some(GROUPS_LISTED_MAX),
        };
        let (entries, _) = self.read_for(ReadPurpose::Show, search).await?;
        let mut groups: Vec<_> = entries.iter().map(summary).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    /// Shows a group: its rules, addresses, owners and members.
    pub async fn group(&self, principal: &Principal, name: &str) -> Result<GroupDetail, DeskError> {
        self.permit(principal, Permission::ViewGroups).await?;
        let entry = self.group_entry(name).await?;
        let (members, has_more_members) = self.group_members(&entry).await?;
        let addresses = self.addresses_of(&entry.dn, ReadPurpose::Show).await?;
        let is_list = |found: &&Entry| found.first(attr::PROVOST_ADDRESS_KIND) == Some(AddressKind::List.as_str());
        let addresses = addresses.iter().filter(is_list).filter_map(|found| found.first(attr::PROVOST_ADDRESS));
        Ok(GroupDetail {
            summary: summary(&entry),
            dn: entry.dn.to_string(),
            addresses: addresses.map(str::to_owned).collect(),
            owners: self.group_owners(&entry).await?,
            members,
            has_more_members,
        })
    }

    /// Creates a group, and the address of its list if one is stated. Returns the audit id. If the address cannot be
    /// given, the group is removed again.
    pub async fn create_group(
        &self,
        principal: &Principal,
        name: &str,
        address: Option<&str>,
        rules: &GroupRules,
    ) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeGroups).await?;
        check_name(name)?;
        let dn = self.group_dn(name);
        let address = match address {
            Some(text) => Some(self.list_address(text, &dn).await?),
            None => None,
        };
        let values = self.group_values(rules).await?;
        let kind = kind(rules.filter.as_deref().unwrap_or_default());
        let mut entry = Entry::new(dn.clone())
            .with(attr::OBJECT_CLASS, class::TOP)
            .with(attr::OBJECT_CLASS, class::PROVOST_GROUP)
            .with(attr::CN, name)
            .with(attr::PROVOST_GROUP_KIND, kind);
        for (attribute, values) in &values {
            values.iter().for_each(|value| entry.push(AttributeDescription::of(attribute), value.clone()));
        }
        let detail = json!({ "address": address, "after": shown(&values) });
        let mut change = self.announce(principal.actor(), "group.create", &dn, detail).await?;
        match self.directory.add(entry).await {
            Ok(_) => {}
            Err(DirectoryError::AlreadyExists(_)) => {
                let error = DeskError::InUse(format!("the group {name}"));
                return Err(self.not_assigned(change, error).await);
            }
            Err(error) => return self.conclude(change, Err(error)).await,
        }
        let Some(address) = address else { return Ok(change.id) };
        change.is_begun = true;
        let ownership = AddressOwnership { owner: &dn, kind: AddressKind::List, until: None };
        match self.assign(&address, ownership).await {
            Ok(_) => Ok(change.id),
            Err(error) => {
                if let Err(left) = self.directory.delete(&dn, tree::unchanged_since(None)).await {
                    tracing::warn!(%left, group = name, "a group without its address cannot be removed again");
                }
                Err(self.not_assigned(change, error).await)
            }
        }
    }

    /// Changes what a group does as a list. Returns the audit id.
    pub async fn set_group(&self, principal: &Principal, name: &str, rules: &GroupRules) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeGroups).await?;
        let entry = self.group_entry(name).await?;
        if rules.states_members() {
            refuse_class(&entry)?;
        }
        let mut values = self.group_values(rules).await?;
        if values.is_empty() {
            return Err(invalid("group", "no change is stated".to_owned()));
        }
        if let Some(filter) = &rules.filter {
            values.push((attr::PROVOST_GROUP_KIND, vec![kind(filter).as_bytes().to_vec()]));
        }
        let set = |(name, values): &(&'static str, Vec<Vec<u8>>)| {
            Modification::replace(AttributeDescription::of(name), values.clone())
        };
        let before: Vec<_> = values.iter().map(|(name, _)| (*name, entry.values(name).to_vec())).collect();
        let detail = json!({ "before": shown(&before), "after": shown(&values) });
        self.change_group(principal, "group.set", &entry, values.iter().map(set).collect(), detail).await
    }

    /// Adds and removes direct members: people by a key, `group:NAME`, and addresses elsewhere. One that is a member
    /// already, or is none, is no error. Returns the audit id; `None` when nothing changes.
    pub async fn change_members(
        &self,
        principal: &Principal,
        name: &str,
        added: &[String],
        removed: &[String],
    ) -> Result<Option<String>, DeskError> {
        self.permit(principal, Permission::ChangeGroups).await?;
        let entry = self.group_entry(name).await?;
        refuse_class(&entry)?;
        let (added, removed) = (self.member_values(added).await?, self.member_values(removed).await?);
        let has = |(attribute, value): &(&'static str, Vec<u8>)| {
            entry.values(attribute).iter().any(|held| held.eq_ignore_ascii_case(value))
        };
        let added: Vec<_> = added.into_iter().filter(|member| !has(member)).collect();
        let removed: Vec<_> = removed.into_iter().filter(has).collect();
        let of = |members: &[(&'static str, Vec<u8>)], wanted: &str| -> Vec<Vec<u8>> {
            members.iter().filter(|(attribute, _)| *attribute == wanted).map(|(_, value)| value.clone()).collect()
        };
        let mut changes = Vec::new();
        for (attribute, most) in [(attr::MEMBER, GROUP_MEMBERS_MAX), (attr::PROVOST_TARGET, GROUP_TARGETS_MAX)] {
            let (gone, new) = (of(&removed, attribute), of(&added, attribute));
            if !new.is_empty() && entry.values(attribute).len() + new.len() - gone.len() > most {
                let rule =
                    format!("the entry of a group names at most {most}: use a filter, or groups within the group");
                return Err(invalid("members", rule));
            }
            if !gone.is_empty() {
                changes.push(Modification::delete(AttributeDescription::of(attribute), gone));
            }
            if !new.is_empty() {
                changes.push(Modification::add(AttributeDescription::of(attribute), new));
            }
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let texts = |members: &[(&str, Vec<u8>)]| -> Vec<String> {
            members.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
        };
        let detail = json!({ "added": texts(&added), "removed": texts(&removed) });
        self.change_group(principal, "group.members", &entry, changes, detail).await.map(Some)
    }

    /// Deletes a group. Its addresses go into quarantine first, so that mail stops before the members are gone. Returns
    /// the audit id.
    pub async fn delete_group(&self, principal: &Principal, name: &str) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeGroups).await?;
        let entry = self.group_entry(name).await?;
        let addresses = self.addresses_of(&entry.dn, ReadPurpose::Change).await?;
        let addresses = addresses.iter().filter_map(|found| Address::parse(found.first(attr::PROVOST_ADDRESS)?).ok());
        let addresses: Vec<Address> = addresses.collect();
        let members = entry.values(attr::MEMBER).len() + entry.values(attr::PROVOST_TARGET).len();
        let detail = json!({ "addresses": addresses, "members": members });
        let mut change = self.announce(principal.actor(), "group.delete", &entry.dn, detail).await?;
        for address in &addresses {
            match self.retire_list(address, &entry.dn).await {
                Ok(()) => change.is_begun = true,
                Err(error) => return self.conclude(change, Err(error)).await,
            }
        }
        // Once an address is gone, the deletion is completed: refused as outdated, it would leave a group without its list.
        let compared = entry.first(attr::ENTRY_CSN).filter(|_| !change.is_begun);
        let conditions = tree::unchanged_since(compared);
        let deleted = self.directory.delete(&entry.dn, conditions).await;
        self.conclude(change, deleted).await
    }

    async fn retire_list(&self, address: &Address, owner: &Dn) -> Result<(), DirectoryError> {
        match self.registered(address).await?.filter(|held| held.is_held_by(owner)) {
            Some(held) => self.retire(address, &held, self.settings.get().address_quarantine.into()).await,
            None => Ok(()),
        }
    }

    async fn change_group(
        &self,
        principal: &Principal,
        action: &str,
        entry: &Entry,
        changes: Vec<Modification>,
        detail: serde_json::Value,
    ) -> Result<String, DeskError> {
        let change = self.announce(principal.actor(), action, &entry.dn, detail).await?;
        let conditions = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
        let written = self.directory.modify(&entry.dn, changes, conditions).await.map(drop);
        self.conclude(change, written).await
    }

    async fn group_entry(&self, name: &str) -> Result<Entry, DeskError> {
        check_name(name)?;
        let read = tree::read_provider(&self.directory, &self.group_dn(name), &["*", attr::ENTRY_CSN]).await?;
        read.filter(|entry| entry.has_class(class::PROVOST_GROUP))
            .ok_or_else(|| DeskError::NotFound(format!("group {name}")))
    }

    fn groups_dn(&self) -> Dn {
        self.directory.suffix().child(attr::OU, ou::GROUPS)
    }

    fn group_dn(&self, name: &str) -> Dn {
        self.groups_dn().child(attr::CN, name)
    }

    async fn list_address(&self, text: &str, owner: &Dn) -> Result<Address, DeskError> {
        let address = Address::parse(text).map_err(|error| invalid("address", error.to_string()))?;
        self.check_served(&address).await?;
        self.check_unused(&address, owner).await?;
        Ok(address)
    }
}

impl GroupRules {
    /// Whether the rules state what the source of a class decides: who belongs to it, what it is, and its end.
    fn states_members(&self) -> bool {
        self.filter.is_some() || self.owners.is_some() || self.description.is_some() || self.until.is_some()
    }
}

/// provostGroupKind of a group that people make.
fn kind(filter: &str) -> &'static str {
    if filter.is_empty() { "static" } else { "filter" }
}

/// Refuses to change by hand what the next file of the class's source would change back.
fn refuse_class(entry: &Entry) -> Result<(), DeskError> {
    match entry.first(attr::PROVOST_GROUP_KIND) {
        Some(kind) if kind.eq_ignore_ascii_case(ENROLMENT) => Err(DeskError::Refused(
            "members, owners, title and end of a class come from the enrolments: make a group that has this one as a member"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Attributes of a [`GroupSummary`].
const SUMMARY_ATTRIBUTES: [&str; 9] = [
    attr::CN,
    attr::PROVOST_GROUP_KIND,
    attr::DESCRIPTION,
    attr::PROVOST_COURSE,
    attr::PROVOST_TERM,
    attr::PROVOST_FILTER,
    attr::PROVOST_POSTER,
    attr::PROVOST_MESSAGE_SIZE,
    attr::PROVOST_UNTIL,
];

fn summary(entry: &Entry) -> GroupSummary {
    let text = |name| entry.first(name).map(str::to_owned);
    let mut posters: Vec<String> = entry.texts(attr::PROVOST_POSTER).map(str::to_owned).collect();
    posters.sort_unstable();
    if posters.is_empty() {
        posters.push("members".to_owned());
    }
    GroupSummary {
        name: text(attr::CN).unwrap_or_default(),
        kind: text(attr::PROVOST_GROUP_KIND).unwrap_or_else(|| "static".to_owned()),
        description: text(attr::DESCRIPTION),
        course: text(attr::PROVOST_COURSE),
        term: text(attr::PROVOST_TERM),
        filter: text(attr::PROVOST_FILTER),
        posters,
        message_octets_max: entry.first(attr::PROVOST_MESSAGE_SIZE).and_then(|text| text.parse().ok()),
        until: entry.first(attr::PROVOST_UNTIL).and_then(crate::calendar::rfc3339),
    }
}

/// Attributes with their values, for the audit.
fn shown(values: &[(&'static str, Vec<Vec<u8>>)]) -> serde_json::Value {
    let texts = |values: &[Vec<u8>]| -> Vec<String> {
        values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    };
    values
        .iter()
        .map(|(name, values)| ((*name).to_owned(), json!(texts(values))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
