//! Search result entries (RFC 4511 §4.5.2), encoded directly from the stored form.

use std::borrow::Cow;

use provost_entry::{AttributeDescription, Entry};

use crate::ber::{BerWriter, OCTET_STRING, SEQUENCE};
use crate::catalogue::{Catalogue, TypeId};
use crate::matching::VisibleEntry;
use crate::names::AttributeMeaning;
use crate::reply;

/// Tag of SearchResultEntry.
pub(crate) const SEARCH_RESULT_ENTRY: u8 = 0x64;

/// The attributes that a request selects (RFC 4511 §4.5.1.8, RFC 3673).
#[derive(Clone, Debug, Default)]
pub(crate) struct AttributeSelection {
    all_user: bool,
    all_operational: bool,
    attributes: Vec<AttributeMeaning>,
    types_only: bool,
}

impl AttributeSelection {
    /// Parses the list of a request. Unknown attributes are ignored, so `1.1` selects none (RFC 4511 §4.5.1.8).
    pub(crate) fn parse(catalogue: &Catalogue, attributes: &[String], types_only: bool) -> Self {
        let mut selection = Self { all_user: attributes.is_empty(), types_only, ..Self::default() };
        for name in attributes {
            match name.as_str() {
                "*" => selection.all_user = true,
                "+" => selection.all_operational = true,
                name => {
                    let description = AttributeDescription::parse(name).ok();
                    selection.attributes.extend(description.and_then(|name| AttributeMeaning::of(catalogue, &name)));
                }
            }
        }
        selection
    }

    fn wants(&self, catalogue: &Catalogue, type_id: TypeId, description: &str) -> bool {
        let operational = catalogue.type_of(type_id).operational;
        (if operational { self.all_operational } else { self.all_user })
            || self.attributes.iter().any(|wanted| wanted.covers(catalogue, type_id, description))
    }

    /// Returns the name of an attribute in the response: with `;binary` where its syntax or the request demands it (RFC
    /// 4522 §5, RFC 4523 §2).
    fn name<'a>(&self, catalogue: &Catalogue, type_id: TypeId, description: &'a str) -> Cow<'a, str> {
        let is_binary_requested =
            || self.attributes.iter().any(|wanted| wanted.binary && wanted.covers(catalogue, type_id, description));
        if !(catalogue.requires_binary(type_id) || catalogue.takes_binary(type_id) && is_binary_requested()) {
            return Cow::Borrowed(description);
        }
        let (base, options) = description.split_at(description.find(';').unwrap_or(description.len()));
        Cow::Owned(format!("{base};binary{options}"))
    }
}

/// Writes one entry of the tree under its present name.
pub(crate) fn write(w: &mut BerWriter, entry: &VisibleEntry<'_>, selection: &AttributeSelection) {
    write_named(w, &entry.tree.dn_of(entry.snapshot.parent, entry.snapshot.record), entry, selection);
}

/// Writes an entry under the name `dn`, which may be an earlier one.
pub(crate) fn write_named(w: &mut BerWriter, dn: &str, entry: &VisibleEntry<'_>, selection: &AttributeSelection) {
    w.within(SEARCH_RESULT_ENTRY, |w| {
        w.string(OCTET_STRING, dn.as_bytes());
        w.within(SEQUENCE, |w| write_attributes(w, entry, selection));
    });
}

fn write_attributes(w: &mut BerWriter, entry: &VisibleEntry<'_>, selection: &AttributeSelection) {
    let tree = entry.tree;
    let derived = std::iter::once(tree.special.object_class).chain(tree.special.operational());
    for type_id in derived {
        let name = &tree.catalogue.type_of(type_id).name;
        if selection.wants(&tree.catalogue, type_id, name) {
            let values = tree.synthesise(entry.snapshot, type_id);
            if !values.is_empty() {
                write_attribute(w, name, values.iter().map(Vec::as_slice), selection);
            }
        }
    }
    for (name, values) in entry.snapshot.record.attributes() {
        let Some(description) = tree.names.description(name) else { continue };
        let is_hidden = !entry.with_secrets && tree.special.is_secret(description.type_id);
        if !is_hidden && selection.wants(&tree.catalogue, description.type_id, &description.text) {
            let name = selection.name(&tree.catalogue, description.type_id, &description.text);
            write_attribute(w, &name, values, selection);
        }
    }
}

fn write_attribute<'a>(
    w: &mut BerWriter,
    name: &str,
    values: impl Iterator<Item = &'a [u8]>,
    selection: &AttributeSelection,
) {
    reply::attribute(w, name, values.filter(|_| !selection.types_only));
}

/// Writes an entry that is not in the tree: the root DSE or the subschema.
pub(crate) fn write_generated(w: &mut BerWriter, catalogue: &Catalogue, entry: &Entry, selection: &AttributeSelection) {
    w.within(SEARCH_RESULT_ENTRY, |w| {
        w.string(OCTET_STRING, entry.dn.as_str().as_bytes());
        w.within(SEQUENCE, |w| {
            for (name, values) in entry.attributes() {
                let wanted = catalogue.type_id(name.attribute_type());
                if wanted.is_some_and(|id| selection.wants(catalogue, id, name.as_str())) {
                    write_attribute(w, name.as_str(), values.iter().map(Vec::as_slice), selection);
                }
            }
        });
    });
}
