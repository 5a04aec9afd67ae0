//! Maps an entry below `ou=groups` to a [`Group`].

use provost_entry::{Address, Entry, MEMBER_FILTER_OCTETS_MAX, Poster, time};
use provost_schema::attr;
use uuid::Uuid;

use super::Group;
use crate::cow_map::MapKey;
use crate::snapshot::dn_key;

/// Maximum number of members of a group; each takes 16 octets of memory.
const MEMBERS_MAX: usize = 200_000;
/// Maximum number of owners read.
const OWNERS_MAX: usize = 64;
/// Maximum number of members by address; of a group with more, none is cut off in silence: it cannot be mapped.
const ADDRESSES_MAX: usize = 10_000;
/// Maximum number of `provostPoster` values read.
const POSTERS_MAX: usize = 64;

/// Maps the entry of the group `name`.
pub(crate) fn group_of_entry(entry_uuid: Uuid, name: Box<str>, entry: &Entry) -> Result<Group, &'static str> {
    let members = dn_keys(entry.texts(attr::MEMBER), MEMBERS_MAX).ok_or("a group of more than 200,000 members")?;
    let mut addresses: Vec<_> =
        entry.texts(attr::PROVOST_TARGET).filter_map(|text| Address::parse(text).ok()).collect();
    if addresses.len() > ADDRESSES_MAX {
        return Err("a group of more than 10,000 addresses");
    }
    addresses.sort_unstable();
    addresses.dedup();
    let mut posters: Vec<_> = entry.texts(attr::PROVOST_POSTER).take(POSTERS_MAX).filter_map(Poster::parse).collect();
    // Without a value, the members; a value that cannot be read allows nobody, the safe choice.
    if entry.first(attr::PROVOST_POSTER).is_none() {
        posters.push(Poster::Members);
    }
    // One octet more than allowed is kept, so that a filter that is too long stays one, and matches nobody.
    let bounded = |text: &str| text.get(..text.ceil_char_boundary(MEMBER_FILTER_OCTETS_MAX + 1)).unwrap_or(text).into();
    Ok(Group {
        owners: dn_keys(entry.texts(attr::OWNER).take(OWNERS_MAX), OWNERS_MAX).unwrap_or_default(),
        addresses: addresses.into(),
        filter: entry.first(attr::PROVOST_FILTER).map(bounded),
        posters: posters.into(),
        message_octets_max: entry.first(attr::PROVOST_MESSAGE_SIZE).and_then(|text| text.trim().parse().ok()),
        until: entry.first(attr::PROVOST_UNTIL).and_then(time::parse_generalized),
        ..Group::of_members(entry_uuid, name, entry.dn.as_str().into(), members)
    })
}

/// Returns the digests of the DNs among `texts`, sorted, each once; `None` for more than `most` DNs.
fn dn_keys<'a>(texts: impl Iterator<Item = &'a str>, most: usize) -> Option<Box<[MapKey]>> {
    let mut keys: Vec<_> = texts.filter_map(dn_key).take(most + 1).collect();
    if keys.len() > most {
        return None;
    }
    keys.sort_unstable();
    keys.dedup();
    Some(keys.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_too_many_members_is_not_cut() {
        let texts: Vec<_> = (0..=MEMBERS_MAX).map(|n| format!("uid={n}")).collect();
        let count = |dns: usize| {
            let texts = std::iter::once("not a dn").chain(texts.iter().take(dns).map(String::as_str));
            dn_keys(texts, MEMBERS_MAX).map(|members| members.len())
        };
        assert_eq!((count(MEMBERS_MAX), count(MEMBERS_MAX + 1)), (Some(MEMBERS_MAX), None));
    }
}
