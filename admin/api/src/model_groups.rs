//! JSON forms of groups and their mailing lists.

use jiff::Timestamp;
use provost_provision::{GroupDetail, GroupMember, GroupRules, GroupSummary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a group does as a list; a field that is absent or `null` stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GroupChange {
    /// What the group is for; an empty text removes it.
    #[schema(max_length = 200)]
    description: Option<String>,
    /// LDAP filter over people, who are then members; an empty text removes it. See docs/groups.md.
    #[schema(max_length = 1024)]
    filter: Option<String>,
    /// Who may send besides the owners: `anyone`, `members`, `owners`, `site`, `group:NAME` or an address.
    #[schema(max_items = 64)]
    posters: Option<Vec<String>>,
    /// Owners, each by provostPersonId, login, address or number; they replace the present ones.
    #[schema(max_items = 64)]
    owners: Option<Vec<String>>,
    /// Largest message, octets; 0 removes the limit.
    message_octets_max: Option<u64>,
    /// From when on the list takes no mail.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

impl From<GroupChange> for GroupRules {
    fn from(body: GroupChange) -> Self {
        let GroupChange { description, filter, posters, owners, message_octets_max, until } = body;
        Self { description, filter, posters, owners, message_octets_max, until }
    }
}

/// A group to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGroup {
    /// Name, unique at the site.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    pub(crate) name: String,
    /// Address of the mailing list; without one, the group is for other groups.
    #[serde(default)]
    pub(crate) address: Option<String>,
    /// What the group does as a list.
    #[serde(default)]
    pub(crate) rules: GroupChange,
}

/// Members to add and to remove: people by provostPersonId, login, address or number, `group:NAME`, or addresses
/// elsewhere.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MembersChange {
    /// New members; who is one already is no error.
    #[schema(max_items = 1000)]
    pub(crate) add: Vec<String>,
    /// Members to remove; who is none is no error.
    #[schema(max_items = 1000)]
    pub(crate) remove: Vec<String>,
}

/// What changed; `null` when nothing did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MembersChanged {
    /// Id of the audit record.
    pub(crate) audit_id: Option<String>,
}

/// All groups.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupList {
    /// By name, at most 10,000.
    pub(crate) groups: Vec<GroupBody>,
}

/// A group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupBody {
    /// Name, unique at the site.
    name: String,
    /// `static`, `filter`, or `enrolment` for a class.
    kind: String,
    /// What the group is for.
    description: Option<String>,
    /// Course and section of a class.
    course: Option<String>,
    /// Term of a class.
    term: Option<String>,
    /// LDAP filter over people.
    filter: Option<String>,
    /// Who may send besides the owners.
    posters: Vec<String>,
    /// Largest message, octets.
    message_octets_max: Option<u64>,
    /// End of the list, RFC 3339.
    until: Option<String>,
}

impl From<GroupSummary> for GroupBody {
    fn from(group: GroupSummary) -> Self {
        let GroupSummary { name, kind, description, course, term, filter, posters, message_octets_max, until } = group;
        Self { name, kind, description, course, term, filter, posters, message_octets_max, until }
    }
}

/// A group with its addresses, owners and members.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupDetailBody {
    /// The part that a list also has.
    #[serde(flatten)]
    group: GroupBody,
    /// Addresses of the list.
    addresses: Vec<String>,
    /// Who owns the group and gets its reports.
    owners: Vec<MemberBody>,
    /// Direct members, at most 1,000.
    members: Vec<MemberBody>,
    /// Whether there are more members than are shown.
    has_more_members: bool,
}

impl From<GroupDetail> for GroupDetailBody {
    fn from(detail: GroupDetail) -> Self {
        let GroupDetail { summary, dn: _, addresses, owners, members, has_more_members } = detail;
        let bodies = |members: Vec<GroupMember>| members.into_iter().map(Into::into).collect();
        Self { group: summary.into(), addresses, owners: bodies(owners), members: bodies(members), has_more_members }
    }
}

/// A member or an owner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberBody {
    /// Login of a person, `group:NAME`, or an address elsewhere; the DN of an entry that is not there.
    key: String,
    /// Name as it is shown.
    name: String,
    /// Primary address of a person.
    mail: Option<String>,
    /// Why: `entry`, `address`, `filter`, or `missing`.
    why: &'static str,
}

impl From<GroupMember> for MemberBody {
    fn from(member: GroupMember) -> Self {
        let GroupMember { key, name, mail, why } = member;
        Self { key, name, mail, why }
    }
}
