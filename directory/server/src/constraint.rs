//! Schema checks of one entry (RFC 4512 §2).

use std::collections::BTreeSet;

use provost_entry::Rdn;
use provost_schema::definition::ObjectClassKind;

use crate::catalogue::{Catalogue, ClassId, EqualityRule, TypeId};
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::record::EntryDraft;
use crate::tree::Tree;

/// Returns the form in which a value is compared: its normal form, or its octets when the equality rule cannot compare
/// the value.
pub(crate) fn normal(catalogue: &Catalogue, type_id: TypeId, value: &[u8]) -> Vec<u8> {
    catalogue.normalise(type_id, value).unwrap_or_else(|| value.to_vec())
}

/// Returns the index in `values` of a value equal to `value`.
fn find_value(catalogue: &Catalogue, type_id: TypeId, values: &[Vec<u8>], value: &[u8]) -> Option<usize> {
    let wanted = normal(catalogue, type_id, value);
    values.iter().position(|there| normal(catalogue, type_id, there) == wanted)
}

/// Checks the syntax of each value, and that a userPassword is a hash.
pub(crate) fn check_values(tree: &Tree, type_id: TypeId, name: &str, values: &[Vec<u8>]) -> OperationResult<()> {
    let is_password = type_id == tree.special.user_password;
    for (i, value) in values.iter().enumerate() {
        if !tree.catalogue.fits(type_id, value) {
            let text = format!("{name}: value #{i} invalid per syntax");
            return Err(LdapResult::new(ResultCode::InvalidAttributeSyntax, text));
        }
        // A password in the clear would be stored on disk and sent to every consumer.
        if is_password && !provost_credential::is_hashed(value) {
            return Err(LdapResult::new(
                ResultCode::ConstraintViolation,
                "userPassword: must be a scheme in braces and a hash (RFC 2307 §5.3)",
            ));
        }
    }
    Ok(())
}

/// Checks whether an entry may have this RDN: each type occurs once (RFC 4512 §2.3, X.501), has an equality rule, and
/// is not operational.
pub(crate) fn check_naming_types(tree: &Tree, rdn: &Rdn) -> OperationResult<()> {
    let mut seen = BTreeSet::new();
    for (name, _) in rdn.pairs() {
        let undefined =
            || LdapResult::new(ResultCode::UndefinedAttributeType, format!("{name:.64}: attribute type undefined"));
        let type_id = tree.catalogue.type_id(name).ok_or_else(undefined)?;
        if tree.catalogue.type_of(type_id).rule == EqualityRule::None || tree.catalogue.type_of(type_id).operational {
            return Err(LdapResult::new(ResultCode::NamingViolation, format!("'{name}' cannot name an entry")));
        }
        if !seen.insert(type_id) {
            return Err(LdapResult::new(ResultCode::InvalidDnSyntax, format!("'{name}' is in the RDN twice")));
        }
    }
    Ok(())
}

/// Checks that the values of the RDN are values of the entry (RFC 4512 §2.3); otherwise refuses with `missing`.
pub(crate) fn check_rdn(tree: &Tree, draft: &EntryDraft, rdn: &Rdn, missing: ResultCode) -> OperationResult<()> {
    for (name, value) in rdn.pairs() {
        let refusal = |text: &str| LdapResult::new(missing, format!("naming attribute '{name}': {text}"));
        let type_id = tree.catalogue.type_id(name).ok_or_else(|| refusal("undefined"))?;
        let found = draft.attributes.iter().any(|(id, values)| {
            let is_naming = tree.names.description(*id).is_some_and(|d| d.type_id == type_id && !d.text.contains(';'));
            is_naming && find_value(&tree.catalogue, type_id, values, value.as_bytes()).is_some()
        });
        if !found {
            return Err(refusal("its value is not in the entry"));
        }
    }
    Ok(())
}

/// Checks classes, required and allowed attributes, and single values. Returns the structural class.
pub(crate) fn check(tree: &Tree, draft: &EntryDraft, classes: &[ClassId]) -> OperationResult<ClassId> {
    let catalogue = &tree.catalogue;
    let structural = structural_class(catalogue, classes)?;
    let (mut must, mut may) = (BTreeSet::<TypeId>::new(), BTreeSet::<TypeId>::new());
    for class in classes.iter().filter_map(|id| catalogue.class(*id)) {
        must.extend(&class.must);
        may.extend(&class.may);
    }
    must.remove(&tree.special.object_class);
    let mut present = BTreeSet::new();
    for (id, values) in &draft.attributes {
        let Some(description) = tree.names.description(*id) else { continue };
        let (type_id, name) = (description.type_id, &description.text);
        if !must.contains(&type_id) && !may.contains(&type_id) {
            return Err(LdapResult::new(ResultCode::ObjectClassViolation, format!("attribute '{name}' not allowed")));
        }
        if catalogue.type_of(type_id).single_value && values.len() > 1 {
            return Err(LdapResult::new(
                ResultCode::ConstraintViolation,
                format!("{name}: the attribute is single-valued"),
            ));
        }
        present.insert(type_id);
    }
    match must.iter().find(|type_id| !present.contains(type_id)) {
        None => Ok(structural),
        Some(missing) => {
            let name = &catalogue.type_of(*missing).name;
            Err(LdapResult::new(ResultCode::ObjectClassViolation, format!("attribute '{name}' required")))
        }
    }
}

/// Returns the structural class that is a subclass of all other structural ones (RFC 4512 §2.4.2). Refuses the classes
/// when there is none.
pub(crate) fn structural_class(catalogue: &Catalogue, classes: &[ClassId]) -> OperationResult<ClassId> {
    let structural: Vec<ClassId> = classes
        .iter()
        .copied()
        .filter(|id| catalogue.class(*id).is_some_and(|class| class.kind == ObjectClassKind::Structural))
        .collect();
    let most_specific = structural.iter().find(|id| {
        let covered = catalogue.class(**id).map(|class| &class.with_superclasses);
        covered.is_some_and(|covered| structural.iter().all(|other| covered.contains(other)))
    });
    most_specific
        .copied()
        .ok_or_else(|| LdapResult::new(ResultCode::ObjectClassViolation, "no single structural object class"))
}
