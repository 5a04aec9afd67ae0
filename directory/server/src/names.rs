//! Shared texts, stored once and numbered: attribute descriptions, lists of classes, identities.

use std::collections::{BTreeSet, HashMap};

use provost_entry::AttributeDescription;

use crate::catalogue::{Catalogue, ClassId, TypeId};
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::record::NameId;

/// Maximum number of distinct attribute descriptions. Bounds the memory that a writer can take by inventing options.
pub(crate) const DESCRIPTIONS_MAX: usize = 4_096;
/// Maximum number of distinct lists of object classes.
pub(crate) const CLASS_LISTS_MAX: usize = 4_096;

/// An attribute description that a write request has used.
#[derive(Debug)]
pub(crate) struct Description {
    /// The type name in the schema's spelling, and the options in lower case and sorted. `binary` is not among them,
    /// because it is a transfer option (RFC 4522).
    pub(crate) text: String,
    pub(crate) type_id: TypeId,
}

/// The object classes that an entry lists.
#[derive(Debug)]
pub(crate) struct ClassList {
    pub(crate) listed: Vec<ClassId>,
    /// The classes and all their superclasses.
    pub(crate) with_superclasses: BTreeSet<ClassId>,
}

/// What an attribute description means in a filter or selection: a type and its subtypes, with at least these options.
#[derive(Clone, Debug)]
pub(crate) struct AttributeMeaning {
    pub(crate) type_id: TypeId,
    pub(crate) options: Vec<String>,
    /// Whether the request used `;binary`, so that the response must too (RFC 4522 §5).
    pub(crate) binary: bool,
}

/// The tables of shared texts. They only grow, so that a number stays valid.
#[derive(Debug, Default)]
pub(crate) struct NameTables {
    descriptions: Vec<Description>,
    description_ids: HashMap<String, NameId>,
    lists: Vec<ClassList>,
    list_ids: HashMap<Vec<ClassId>, u16>,
    identities: Vec<String>,
    identity_ids: HashMap<String, u32>,
}

/// The transfer option of RFC 4522.
const BINARY: &str = "binary";

impl AttributeMeaning {
    /// Returns the meaning of a description, its options in lower case and sorted. `None` when the description is
    /// unrecognised (RFC 4512 §2.5): the schema lacks its type, the type cannot be transferred with `;binary`, or an
    /// option is neither `binary` nor a language tag (RFC 3866).
    pub(crate) fn of(catalogue: &Catalogue, description: &AttributeDescription) -> Option<Self> {
        let type_id = catalogue.type_id(description.attribute_type())?;
        let mut options: Vec<String> = description.options().map(str::to_ascii_lowercase).collect();
        options.sort();
        options.dedup();
        let all = options.len();
        options.retain(|option| option != BINARY);
        let binary = options.len() < all;
        let is_supported = options.iter().all(|option| option.starts_with("lang-"));
        (is_supported && (!binary || catalogue.takes_binary(type_id))).then_some(Self { type_id, options, binary })
    }

    /// Whether this meaning covers an attribute of this type with the options of `description` (RFC 4512 §2.5.2).
    pub(crate) fn covers(&self, catalogue: &Catalogue, type_id: TypeId, description: &str) -> bool {
        catalogue.is_subtype(type_id, self.type_id)
            && self.options.iter().all(|wanted| description.split(';').skip(1).any(|option| option == wanted))
    }
}

impl NameTables {
    /// Returns the number of a description, adding a new one. An unknown type or option is `undefinedAttributeType`
    /// (RFC 4512 §2.5).
    pub(crate) fn describe(&mut self, catalogue: &Catalogue, text: &str) -> OperationResult<NameId> {
        let undefined =
            || LdapResult::new(ResultCode::UndefinedAttributeType, format!("{text:.64}: attribute type undefined"));
        let description = AttributeDescription::parse(text).map_err(|_| undefined())?;
        let meaning = AttributeMeaning::of(catalogue, &description).ok_or_else(undefined)?;
        let AttributeMeaning { type_id, options, .. } = meaning;
        let mut canonical = catalogue.type_of(type_id).name.clone();
        for option in options {
            canonical.push(';');
            canonical.push_str(&option);
        }
        if let Some(id) = self.description_ids.get(&canonical) {
            return Ok(*id);
        }
        if self.descriptions.len() >= DESCRIPTIONS_MAX {
            return Err(LdapResult::new(ResultCode::AdminLimitExceeded, "too many attribute descriptions"));
        }
        let id = self.descriptions.len() as NameId;
        self.description_ids.insert(canonical.clone(), id);
        self.descriptions.push(Description { text: canonical, type_id });
        Ok(id)
    }

    /// Returns the description of a number; `None` only for a number from a damaged file.
    pub(crate) fn description(&self, id: NameId) -> Option<&Description> {
        self.descriptions.get(usize::from(id))
    }

    /// Returns all descriptions, by number.
    pub(crate) fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }

    /// Returns the number of a set of classes, adding a new one.
    pub(crate) fn class_list(&mut self, catalogue: &Catalogue, mut listed: Vec<ClassId>) -> OperationResult<u16> {
        // RFC 4512 §2.2: values are a set. Clients send them in any order, which must not create further lists.
        listed.sort_unstable();
        if let Some(id) = self.list_ids.get(&listed) {
            return Ok(*id);
        }
        if self.lists.len() >= CLASS_LISTS_MAX {
            return Err(LdapResult::new(ResultCode::AdminLimitExceeded, "too many combinations of object classes"));
        }
        let classes = listed.iter().filter_map(|id| catalogue.class(*id));
        let with_superclasses = classes.flat_map(|class| class.with_superclasses.iter().copied()).collect();
        let id = self.lists.len() as u16;
        self.list_ids.insert(listed.clone(), id);
        self.lists.push(ClassList { listed, with_superclasses });
        Ok(id)
    }

    /// Returns the classes of a number.
    pub(crate) fn classes(&self, id: u16) -> Option<&ClassList> {
        self.lists.get(usize::from(id))
    }

    /// Returns all lists, by number.
    pub(crate) fn lists(&self) -> &[ClassList] {
        &self.lists
    }

    /// Returns the number of an identity, adding a new one.
    pub(crate) fn identity_id(&mut self, dn: &str) -> u32 {
        if let Some(id) = self.identity_ids.get(dn) {
            return *id;
        }
        let id = self.identities.len() as u32;
        self.identities.push(dn.to_owned());
        self.identity_ids.insert(dn.to_owned(), id);
        id
    }

    /// Returns the identity of a number.
    pub(crate) fn identity(&self, id: u32) -> &str {
        usize::try_from(id).ok().and_then(|id| self.identities.get(id)).map_or("", String::as_str)
    }

    /// Returns all identities, by number.
    pub(crate) fn identities(&self) -> &[String] {
        &self.identities
    }
}
