//! The members of a group, each with the reason.

use provost_entry::{Dn, Entry, Filter};
use provost_schema::{attr, class};

use crate::desk::{Desk, DeskError, ReadPurpose};
use crate::tree;

/// Maximum number of members that are shown: each named member costs a read.
pub const MEMBERS_SHOWN_MAX: usize = 500;
/// Attributes of a member that is shown.
const SHOWN: [&str; 5] = [attr::OBJECT_CLASS, attr::UID, attr::MAIL, attr::DISPLAY_NAME, attr::CN];

/// A member or owner.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GroupMember {
    /// Login of a person, `group:NAME`, or an address elsewhere; the DN of an entry that is not there.
    pub key: String,
    /// Name as it is shown.
    pub name: String,
    /// Primary address of a person.
    pub mail: Option<String>,
    /// Why: `entry` (named by DN), `address`, `filter`, or `missing` for a DN without an entry.
    pub why: &'static str,
}

impl Desk {
    pub(super) async fn group_owners(&self, group: &Entry) -> Result<Vec<GroupMember>, DeskError> {
        let mut owners = Vec::new();
        for dn in group.texts(attr::OWNER).take(MEMBERS_SHOWN_MAX) {
            owners.push(self.named_member(dn).await?);
        }
        Ok(owners)
    }

    /// The direct members, at most [`MEMBERS_SHOWN_MAX`], and whether there are more.
    pub(super) async fn group_members(&self, group: &Entry) -> Result<(Vec<GroupMember>, bool), DeskError> {
        let mut members = Vec::new();
        for dn in group.texts(attr::MEMBER).take(MEMBERS_SHOWN_MAX) {
            members.push(self.named_member(dn).await?);
        }
        let elsewhere = group.texts(attr::PROVOST_TARGET);
        members.extend(elsewhere.map(|address| GroupMember {
            key: address.to_owned(),
            name: address.to_owned(),
            mail: Some(address.to_owned()),
            why: "address",
        }));
        let named = group.values(attr::MEMBER).len() + group.values(attr::PROVOST_TARGET).len();
        let room = MEMBERS_SHOWN_MAX.saturating_sub(members.len());
        let mut has_more = named > MEMBERS_SHOWN_MAX;
        if let Some(filter) = group.first(attr::PROVOST_FILTER).and_then(|text| Filter::parse(text).ok()) {
            let (people, _) = self.people(filter, &SHOWN, Some(room + 1), ReadPurpose::Show).await?;
            has_more |= people.len() > room;
            members.extend(people.iter().take(room).map(|person| of_person(person, "filter")));
        }
        members.truncate(MEMBERS_SHOWN_MAX);
        members.sort_by(|a, b| (&a.name, &a.key).cmp(&(&b.name, &b.key)));
        Ok((members, has_more))
    }

    async fn named_member(&self, dn: &str) -> Result<GroupMember, DeskError> {
        let missing = || GroupMember { key: dn.to_owned(), name: dn.to_owned(), mail: None, why: "missing" };
        let Ok(parsed) = Dn::parse(dn) else { return Ok(missing()) };
        let entry = tree::read_provider(&self.directory, &parsed, &SHOWN).await?;
        Ok(match entry {
            Some(entry) if entry.has_class(class::PROVOST_GROUP) => {
                let name = entry.first(attr::CN).unwrap_or(dn).to_owned();
                GroupMember { key: format!("group:{name}"), name, mail: None, why: "entry" }
            }
            Some(entry) => of_person(&entry, "entry"),
            None => missing(),
        })
    }
}

fn of_person(person: &Entry, why: &'static str) -> GroupMember {
    let name = person.first(attr::DISPLAY_NAME).or_else(|| person.first(attr::CN)).unwrap_or_default();
    GroupMember {
        key: person.first(attr::UID).unwrap_or_else(|| person.dn.as_str()).to_owned(),
        name: name.to_owned(),
        mail: person.first(attr::MAIL).map(str::to_owned),
        why,
    }
}
