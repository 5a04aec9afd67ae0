//! The root DSE (RFC 4512 §5.1) and the subschema (§4.2).

use provost_entry::{AttributeDescription, Dn, Entry};

use crate::catalogue::{Catalogue, MATCHING_RULES, SYNTAXES};
use crate::reply::oid;
use crate::tree::SUBSCHEMA_DN;

/// Controls that the server supports.
const CONTROLS: &[&str] =
    &[oid::PAGED_RESULTS, oid::ASSERTION, oid::PRE_READ, oid::POST_READ, oid::MANAGE_DSA_IT, oid::SYNC_REQUEST];

/// Features: RFC 3673 (`+`), RFC 4525 (increment), RFC 4526 (absolute true and false).
const FEATURES: &[&str] = &["1.3.6.1.4.1.4203.1.5.1", "1.3.6.1.1.14", "1.3.6.1.4.1.4203.1.5.3"];

/// Returns the root DSE.
pub(crate) fn root_dse(suffix: &Dn, start_tls: bool) -> Entry {
    let mut extensions = vec![oid::PASSWORD_MODIFY, oid::WHO_AM_I];
    if start_tls {
        extensions.push(oid::START_TLS);
    }
    let mut entry = Entry::new(Dn::root())
        .with("objectClass", "top")
        .with("namingContexts", suffix.as_str())
        .with("supportedLDAPVersion", "3")
        .with("subschemaSubentry", SUBSCHEMA_DN)
        .with("vendorName", "Provost")
        .with("vendorVersion", env!("CARGO_PKG_VERSION"));
    for (name, values) in
        [("supportedControl", CONTROLS), ("supportedExtension", &extensions), ("supportedFeatures", FEATURES)]
    {
        values.iter().for_each(|value| entry.push(AttributeDescription::of(name), value.as_bytes().to_vec()));
    }
    entry
}

/// Returns the subschema entry with all definitions.
pub(crate) fn subschema(catalogue: &Catalogue) -> Entry {
    let dn = Dn::root().child("cn", "subschema");
    let mut entry = Entry::new(dn).with("objectClass", "top").with("cn", "subschema");
    for class in ["subentry", "subschema"] {
        entry.push(AttributeDescription::of("objectClass"), class.into());
    }
    let octets = |texts: &[String]| texts.iter().map(|text| text.clone().into_bytes()).collect::<Vec<_>>();
    entry.set(AttributeDescription::of("attributeTypes"), octets(&catalogue.type_texts));
    entry.set(AttributeDescription::of("objectClasses"), octets(&catalogue.class_texts));
    let rules = MATCHING_RULES.iter().map(|(oid, name, syntax)| format!("( {oid} NAME '{name}' SYNTAX {syntax} )"));
    entry.set(AttributeDescription::of("matchingRules"), rules.map(String::into_bytes).collect());
    let syntaxes = SYNTAXES.iter().map(|(oid, text)| format!("( {oid} DESC '{text}' )"));
    entry.set(AttributeDescription::of("ldapSyntaxes"), syntaxes.map(String::into_bytes).collect());
    entry
}
