//! The preferred name and the equality matching rule of each attribute type, for comparing distinguished names.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::definition;
use crate::{BASE_LDIF, LDIF_FILES};

/// An attribute type as it appears in a distinguished name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamingType {
    /// The preferred name, as the schema spells it.
    pub name: String,
    /// The equality matching rule by name, possibly inherited; `None` when values cannot be compared.
    pub equality: Option<String>,
}

/// All types by name and by OID, in lower case.
static TYPES: LazyLock<HashMap<String, NamingType>> = LazyLock::new(read);

/// Returns the attribute type with this name or numeric OID, ignoring case (RFC 4512 §1.4); `None` when this schema
/// lacks it.
pub fn naming_type(name: &str) -> Option<&'static NamingType> {
    TYPES.get(&name.to_ascii_lowercase())
}

fn read() -> HashMap<String, NamingType> {
    let mut types: HashMap<String, NamingType> = HashMap::new();
    let texts = std::iter::once(BASE_LDIF).chain(LDIF_FILES.iter().map(|(_, ldif)| *ldif));
    // A file that cannot be parsed is a bug that this crate's tests exclude. Its types would count as unknown.
    for file in texts.filter_map(|ldif| definition::parse(ldif).ok()) {
        for attribute in file.attribute_types {
            let above = attribute.superior.as_ref().and_then(|name| types.get(&name.to_ascii_lowercase()));
            let equality = attribute.equality.or_else(|| above.and_then(|above| above.equality.clone()));
            let Some(first) = attribute.names.first() else { continue };
            let made = NamingType { name: first.clone(), equality };
            for name in attribute.names.iter().chain([&attribute.oid]) {
                types.insert(name.to_ascii_lowercase(), made.clone());
            }
        }
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_every_name() {
        for (asked, name, equality) in [
            ("cn", "cn", Some("caseIgnoreMatch")),
            ("COMMONNAME", "cn", Some("caseIgnoreMatch")),
            ("2.5.4.11", "ou", Some("caseIgnoreMatch")),
            ("domainComponent", "dc", Some("caseIgnoreIA5Match")),
            ("seealso", "seeAlso", Some("distinguishedNameMatch")),
            ("provostaddress", "provostAddress", Some("caseIgnoreIA5Match")),
            ("userCertificate", "userCertificate", None),
        ] {
            let found = naming_type(asked).unwrap();
            assert_eq!((found.name.as_str(), found.equality.as_deref()), (name, equality), "{asked}");
        }
        assert_eq!(naming_type("nosuch"), None);
    }
}
