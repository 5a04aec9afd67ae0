//! Filters of groups: which people are members (RFC 4515, a part of it).

use provost_schema::attr;

use super::facets::{Facets, prepared};
use crate::{AttributeDescription, Filter, FilterError};

/// The attributes that a filter of a group may name.
pub const FILTER_ATTRIBUTES: [&str; 9] = [
    attr::EDU_PERSON_AFFILIATION,
    attr::EDU_PERSON_PRIMARY_AFFILIATION,
    attr::PROVOST_PROGRAM,
    attr::PROVOST_STATE,
    attr::PREFERRED_LANGUAGE,
    attr::UID,
    attr::MAIL,
    attr::OU,
    attr::TITLE,
];
/// Longest filter of a group, octets: that of provostFilter.
pub const MEMBER_FILTER_OCTETS_MAX: usize = 1024;
/// Maximum depth of a filter of a group.
pub const MEMBER_FILTER_DEPTH_MAX: usize = 8;

/// Why a text is not a filter of a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberFilterError {
    /// It is longer than [`MEMBER_FILTER_OCTETS_MAX`].
    #[error("a filter of a group has at most {MEMBER_FILTER_OCTETS_MAX} octets")]
    Length,
    /// It is deeper than [`MEMBER_FILTER_DEPTH_MAX`].
    #[error("a filter of a group is at most {MEMBER_FILTER_DEPTH_MAX} levels deep")]
    Depth,
    /// It is no filter of RFC 4515.
    #[error(transparent)]
    Syntax(#[from] FilterError),
    /// It names an attribute that is not in [`FILTER_ATTRIBUTES`].
    #[error("'{0}' is not an attribute of filters of groups: {list}", list = FILTER_ATTRIBUTES.join(", "))]
    Attribute(String),
    /// It has an ordering match, or a value that is no text.
    #[error("filters of groups compare texts by =, and with * in the value")]
    Kind,
}

/// A valid filter of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberFilter(Condition);

/// A filter whose attributes are numbers in [`FILTER_ATTRIBUTES`], and whose values are prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Equal(usize, String),
    Present(usize),
    /// Parts of a value in this order; the flags say whether it begins and ends with them.
    Substring {
        attribute: usize,
        initial: String,
        any: Vec<String>,
        last: String,
    },
}

impl MemberFilter {
    /// Parses and checks the text of `provostFilter`.
    pub fn parse(text: &str) -> Result<Self, MemberFilterError> {
        if text.len() > MEMBER_FILTER_OCTETS_MAX {
            return Err(MemberFilterError::Length);
        }
        Condition::of(&Filter::parse(text)?, MEMBER_FILTER_DEPTH_MAX).map(Self)
    }

    /// Whether a person with these values is a member.
    pub fn matches(&self, facets: &Facets) -> bool {
        self.0.holds(facets)
    }
}

impl Condition {
    fn of(filter: &Filter, depth: usize) -> Result<Self, MemberFilterError> {
        let depth = depth.checked_sub(1).ok_or(MemberFilterError::Depth)?;
        let all =
            |filters: &[Filter]| filters.iter().map(|inner| Self::of(inner, depth)).collect::<Result<Vec<_>, _>>();
        Ok(match filter {
            Filter::And(filters) => Self::All(all(filters)?),
            Filter::Or(filters) => Self::Any(all(filters)?),
            Filter::Not(inner) => Self::Not(Box::new(Self::of(inner, depth)?)),
            Filter::Equal(name, value) | Filter::Approx(name, value) => Self::Equal(number(name)?, text(value)?),
            Filter::Present(name) => Self::Present(number(name)?),
            Filter::Substring { attribute, initial, any, last } => Self::Substring {
                attribute: number(attribute)?,
                initial: initial.as_deref().map_or(Ok(String::new()), text)?,
                any: any.iter().map(|part| text(part)).collect::<Result<_, _>>()?,
                last: last.as_deref().map_or(Ok(String::new()), text)?,
            },
            Filter::GreaterOrEqual(..) | Filter::LessOrEqual(..) | Filter::Undefined => {
                return Err(MemberFilterError::Kind);
            }
        })
    }

    fn holds(&self, facets: &Facets) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(facets)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(facets)),
            Self::Not(condition) => !condition.holds(facets),
            Self::Equal(attribute, wanted) => facets.values(*attribute).any(|value| value == wanted),
            Self::Present(attribute) => facets.values(*attribute).next().is_some(),
            Self::Substring { attribute, initial, any, last } => {
                facets.values(*attribute).any(|value| has_parts(value, initial, any, last))
            }
        }
    }
}

/// Whether `value` is `initial*any*last`, with no two parts overlapping.
fn has_parts(value: &str, initial: &str, any: &[String], last: &str) -> bool {
    let Some(mut rest) = value.strip_prefix(initial) else { return false };
    for part in any {
        match rest.split_once(part.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn number(name: &AttributeDescription) -> Result<usize, MemberFilterError> {
    let found = FILTER_ATTRIBUTES.iter().position(|known| known.eq_ignore_ascii_case(name.as_str()));
    found.ok_or_else(|| MemberFilterError::Attribute(name.as_str().to_owned()))
}

fn text(value: &[u8]) -> Result<String, MemberFilterError> {
    std::str::from_utf8(value).ok().and_then(prepared).ok_or(MemberFilterError::Kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dn, Entry};

    fn facets() -> Facets {
        let entry = Entry::new(Dn::parse("uid=zoe").unwrap())
            .with(attr::EDU_PERSON_AFFILIATION, "Student")
            .with(attr::EDU_PERSON_AFFILIATION, "member")
            .with(attr::PROVOST_PROGRAM, "Génie  civil")
            .with(attr::UID, "zoe.tremblay");
        Facets::of_entry(&entry)
    }

    #[test]
    fn people_are_matched() {
        for (text, expect) in [
            ("(eduPersonAffiliation=student)", true),
            ("(EDUPERSONAFFILIATION=MEMBER)", true),
            ("(eduPersonAffiliation=faculty)", false),
            ("(eduPersonPrimaryAffiliation=student)", false),
            ("(provostProgram=génie civil)", true),
            ("(provostProgram=G\u{e9}nie*)", true),
            ("(provostProgram=*ie*ci*l)", true),
            ("(provostProgram=*civil*civil)", false),
            ("(&(eduPersonAffiliation=student)(!(provostProgram=math*)))", true),
            ("(|(uid=li)(uid=zoe.tremblay))", true),
            ("(title=*)", false),
            ("(!(title=*))", true),
            ("(&)", true),
            ("(|)", false),
        ] {
            assert_eq!(MemberFilter::parse(text).unwrap().matches(&facets()), expect, "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_of_a_group_is_refused() {
        let deep = format!("{}(uid=x){}", "(!".repeat(8), ")".repeat(8));
        let long = format!("(uid={})", "x".repeat(1024));
        for (text, part) in [
            ("uid=x", "refused"),
            ("", "refused"),
            ("(userPassword=x)", "is not an attribute of filters"),
            ("(provostStartDate>=2026)", "compare texts"),
            (deep.as_str(), "8 levels"),
            (long.as_str(), "1024 octets"),
        ] {
            let error = MemberFilter::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[()&|!*=a-z]{0,60}") {
            if let Ok(filter) = MemberFilter::parse(&text) {
                filter.matches(&facets());
            }
        }
    }
}
