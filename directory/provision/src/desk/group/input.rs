//! Checks what a caller states about a group.

use provost_entry::time::format_generalized;
use provost_entry::{Address, MemberFilter, Poster};
use provost_schema::attr;

use super::GroupRules;
use crate::desk::{Desk, DeskError, ReadPurpose};

/// Longest name of a group, octets.
const NAME_OCTETS_MAX: usize = 64;
/// Longest description, characters.
const DESCRIPTION_CHARS_MAX: usize = 200;
/// Maximum number of owners, posters, and members stated at once.
const OWNERS_MAX: usize = 64;
const POSTERS_MAX: usize = 64;
const MEMBERS_STATED_MAX: usize = 1000;
/// What stands before the name of a group that is a member.
const GROUP_PREFIX: &str = "group:";

/// Attributes with their new values; no value removes the attribute.
pub(super) type GroupValues = Vec<(&'static str, Vec<Vec<u8>>)>;

pub(super) fn invalid(field: &'static str, rule: String) -> DeskError {
    DeskError::Invalid { field, rule }
}

/// The name is part of a DN, of `group:NAME` and usually of an address, so it has the letters of all three.
pub(super) fn check_name(name: &str) -> Result<(), DeskError> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && name.len() <= NAME_OCTETS_MAX && name.chars().all(is_allowed) {
        return Ok(());
    }
    Err(invalid("name", format!("1 to {NAME_OCTETS_MAX} of a-z, 0-9, '-', '.' and '_', a letter or digit first")))
}

impl Desk {
    /// The attributes that `rules` states, checked.
    pub(super) async fn group_values(&self, rules: &GroupRules) -> Result<GroupValues, DeskError> {
        let mut values: GroupValues = Vec::new();
        let one = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.as_bytes().to_vec()] };
        if let Some(description) = &rules.description {
            let too_long = description.chars().count() > DESCRIPTION_CHARS_MAX;
            if too_long || description.chars().any(char::is_control) {
                return Err(invalid("description", format!("at most {DESCRIPTION_CHARS_MAX} characters")));
            }
            values.push((attr::DESCRIPTION, one(description.trim())));
        }
        if let Some(filter) = &rules.filter {
            if !filter.is_empty() {
                MemberFilter::parse(filter).map_err(|error| invalid("filter", error.to_string()))?;
            }
            values.push((attr::PROVOST_FILTER, one(filter)));
        }
        if let Some(posters) = &rules.posters {
            values.push((attr::PROVOST_POSTER, poster_values(posters)?));
        }
        if let Some(octets) = rules.message_octets_max {
            values
                .push((attr::PROVOST_MESSAGE_SIZE, one(&if octets == 0 { String::new() } else { octets.to_string() })));
        }
        if let Some(until) = rules.until {
            values.push((attr::PROVOST_UNTIL, one(&format_generalized(until))));
        }
        if let Some(owners) = &rules.owners {
            bounded("owners", owners, OWNERS_MAX)?;
            let mut dns = Vec::new();
            for owner in owners {
                dns.push(self.find(owner, ReadPurpose::Change).await?.dn().as_str().as_bytes().to_vec());
            }
            dns.sort_unstable();
            dns.dedup();
            values.push((attr::OWNER, dns));
        }
        Ok(values)
    }

    /// The attribute and the value that make each of these a member.
    pub(super) async fn member_values(&self, members: &[String]) -> Result<Vec<(&'static str, Vec<u8>)>, DeskError> {
        bounded("members", members, MEMBERS_STATED_MAX)?;
        let mut values = Vec::new();
        for member in members {
            values.push(self.member_value(member.trim()).await?);
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    async fn member_value(&self, member: &str) -> Result<(&'static str, Vec<u8>), DeskError> {
        if let Some(name) = member.strip_prefix(GROUP_PREFIX) {
            let entry = self.group_entry(name.trim()).await?;
            return Ok((attr::MEMBER, entry.dn.as_str().as_bytes().to_vec()));
        }
        match self.find(member, ReadPurpose::Change).await {
            Ok(person) => Ok((attr::MEMBER, person.dn().as_str().as_bytes().to_vec())),
            Err(DeskError::NotFound(key)) => match Address::parse(member) {
                Ok(address) if !self.is_served(&address).await? => {
                    Ok((attr::PROVOST_TARGET, address.as_str().as_bytes().to_vec()))
                }
                _ => Err(DeskError::NotFound(key)),
            },
            Err(error) => Err(error),
        }
    }
}

fn poster_values(posters: &[String]) -> Result<Vec<Vec<u8>>, DeskError> {
    bounded("posters", posters, POSTERS_MAX)?;
    let mut values = Vec::new();
    for text in posters {
        let rule = || format!("'{text}' is not anyone, members, owners, site, group:NAME or an address");
        let poster = Poster::parse(text).ok_or_else(|| invalid("posters", rule()))?;
        values.push(poster.to_string().into_bytes());
    }
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

fn bounded(field: &'static str, stated: &[String], most: usize) -> Result<(), DeskError> {
    if stated.len() <= most { Ok(()) } else { Err(invalid(field, format!("at most {most} at once"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_an_address() {
        for (name, expect) in [
            ("maths-101.a_b", true),
            ("1st-year", true),
            ("", false),
            ("-x", false),
            ("Maths", false),
            ("a b", false),
            ("été", false),
        ] {
            assert_eq!(check_name(name).is_ok(), expect, "{name}");
        }
        assert!(check_name(&"x".repeat(64)).is_ok() && check_name(&"x".repeat(65)).is_err());
    }

    #[test]
    fn posters_are_checked() {
        let values = |texts: &[&str]| poster_values(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(values(&["Members", "members"]).unwrap(), [b"members".to_vec()]);
        assert!(values(&["everybody"]).unwrap_err().to_string().contains("'everybody' is not"));
    }
}
