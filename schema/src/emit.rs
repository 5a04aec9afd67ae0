//! Converts the LDIF source to the forms that other servers load.

use std::fmt::Write as _;

use crate::definition::{self, DefinitionError};
use crate::{LDIF_FILES, SHIPPED_BY_389};

/// Returns all files as one schema file in the form of `slapd.conf`; `include` it after core, cosine, inetorgperson and
/// misc.
pub fn slapd_conf() -> Result<String, DefinitionError> {
    let mut out = String::from("# Generated from schema/ldif; change it there.\n");
    for (name, ldif) in LDIF_FILES {
        let file = definition::parse(ldif)?;
        let _ = writeln!(out, "\n# {name}");
        for attribute in &file.attribute_types {
            let _ = writeln!(out, "attributetype {}", attribute.text);
        }
        for class in &file.object_classes {
            let _ = writeln!(out, "objectclass {}", class.text);
        }
    }
    Ok(out)
}

/// Returns the definitions that 389-DS lacks as a `99provost.ldif` for its schema folder: macros resolved, one
/// definition per line.
pub fn directory_server_389() -> Result<String, DefinitionError> {
    let mut out = String::from("# Generated from schema/ldif; change it there.\ndn: cn=schema\n");
    let ours = LDIF_FILES.iter().filter(|(name, _)| !SHIPPED_BY_389.contains(name));
    let files = ours.map(|(_, ldif)| definition::parse(ldif)).collect::<Result<Vec<_>, _>>()?;
    for attribute in files.iter().flat_map(|file| &file.attribute_types) {
        let _ = writeln!(out, "attributeTypes: {}", with_origin(&attribute.text));
    }
    for class in files.iter().flat_map(|file| &file.object_classes) {
        let _ = writeln!(out, "objectClasses: {}", with_origin(&class.text));
    }
    Ok(out)
}

fn with_origin(definition: &str) -> String {
    let body = definition.strip_suffix(')').unwrap_or(definition).trim_end();
    format!("{body} X-ORIGIN 'Provost' )")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emitted_forms_hold_the_definitions_that_the_server_lacks() {
        let conf = slapd_conf().unwrap();
        let ds = directory_server_389().unwrap();
        for (name, ldif) in LDIF_FILES {
            let shipped = SHIPPED_BY_389.contains(name);
            let file = definition::parse(ldif).unwrap();
            for attribute in file.attribute_types {
                assert!(conf.contains(&format!("attributetype {}\n", attribute.text)), "{}", attribute.text);
                let held = ds.contains(&format!("attributeTypes: ( {} ", attribute.oid));
                assert_eq!(held, !shipped, "{}", attribute.text);
            }
            for class in file.object_classes {
                assert!(conf.contains(&format!("objectclass {}\n", class.text)), "{}", class.text);
                let held = ds.contains(&format!("objectClasses: ( {} ", class.oid));
                assert_eq!(held, !shipped, "{}", class.text);
            }
        }
        assert!(ds.lines().skip(2).all(|line| line.ends_with("X-ORIGIN 'Provost' )")), "{ds}");
        assert!(!conf.contains("ProvostAttribute"), "macros are resolved");
    }
}
