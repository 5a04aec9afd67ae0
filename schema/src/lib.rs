//! The directory schema of Provost: its LDIF source and the typed names of its attributes and classes.
//!
//! The LDIF text in `ldif/` is the truth; the constants here are checked against it by a test. The other forms in
//! which servers want it are made from it by [`slapd_conf`] and [`directory_server_389`].

pub mod definition;
mod emit;
mod naming;

pub use emit::{directory_server_389, slapd_conf};
pub use naming::{NamingType, naming_type};

/// What OpenLDAP does not ship, in cn=config form, in the order in which slapd wants it (after core, cosine,
/// inetorgperson and misc): file name and text.
pub const LDIF_FILES: &[(&str, &str)] = &[
    ("eduperson.ldif", include_str!("../ldif/eduperson.ldif")),
    ("schac.ldif", include_str!("../ldif/schac.ldif")),
    ("netscape-mail.ldif", include_str!("../ldif/netscape-mail.ldif")),
    ("provost.ldif", include_str!("../ldif/provost.ldif")),
];

/// Standard definitions that OpenLDAP ships and the embedded server must bring itself.
pub const BASE_LDIF: &str = include_str!("../ldif/base.ldif");

/// Of [`LDIF_FILES`], those whose definitions 389-DS brings in its default schema.
pub const SHIPPED_BY_389: &[&str] = &["eduperson.ldif", "netscape-mail.ldif"];

/// Names of attribute types.
pub mod attr {
    /// X.520; also the operational ones that we read.
    pub const OBJECT_CLASS: &str = "objectClass";
    /// Common name: given and family name.
    pub const CN: &str = "cn";
    /// Family name (RFC 4519 §2.32).
    pub const SN: &str = "sn";
    /// Given name (RFC 4519 §2.12).
    pub const GIVEN_NAME: &str = "givenName";
    /// The name as shown.
    pub const DISPLAY_NAME: &str = "displayName";
    /// Login. Single by policy.
    pub const UID: &str = "uid";
    /// Projection of the primary address.
    pub const MAIL: &str = "mail";
    /// Projection of every address at which the person receives (LASER, OpenLDAP `misc`), primary included.
    pub const MAIL_LOCAL_ADDRESS: &str = "mailLocalAddress";
    /// The institution's number for the person: `person_id` of the registrar.
    pub const EMPLOYEE_NUMBER: &str = "employeeNumber";
    /// Language of the person's messages and letters: `en` or `fr` (RFC 2798 §2.7).
    pub const PREFERRED_LANGUAGE: &str = "preferredLanguage";
    /// Password hash with its scheme in braces.
    pub const USER_PASSWORD: &str = "userPassword";
    /// eduPerson vocabulary: student, faculty, staff, alum, ...
    pub const EDU_PERSON_AFFILIATION: &str = "eduPersonAffiliation";
    /// The one that decides.
    pub const EDU_PERSON_PRIMARY_AFFILIATION: &str = "eduPersonPrimaryAffiliation";
    /// Birth date, YYYYMMDD (SCHAC).
    pub const SCHAC_DATE_OF_BIRTH: &str = "schacDateOfBirth";
    /// Netscape: quota in octets, absent is the default.
    pub const MAIL_QUOTA: &str = "mailQuota";
    /// Netscape: `reply` when the vacation rule is on.
    pub const MAIL_AUTO_REPLY_MODE: &str = "mailAutoReplyMode";
    /// Sun: subject of the vacation reply, also `;lang-fr` and `;lang-en`.
    pub const MAIL_AUTO_REPLY_SUBJECT: &str = "mailAutoReplySubject";
    /// Netscape: text of the vacation reply, also `;lang-fr` and `;lang-en`.
    pub const MAIL_AUTO_REPLY_TEXT: &str = "mailAutoReplyText";
    /// Sun: GeneralizedTime, first moment of the vacation.
    pub const VACATION_START_DATE: &str = "vacationStartDate";
    /// Sun: GeneralizedTime, last moment of the vacation.
    pub const VACATION_END_DATE: &str = "vacationEndDate";
    /// Days between two replies to one sender, 1 to 365; absent is 7 (RFC 5230 §4.1).
    pub const PROVOST_VACATION_INTERVAL: &str = "provostVacationInterval";
    /// RDN of a person: immutable, a UUID.
    pub const PROVOST_PERSON_ID: &str = "provostPersonId";
    /// Where the person is known from: `registrar:12345`. Multi-valued, unique.
    pub const PROVOST_SOURCE_ID: &str = "provostSourceId";
    /// `active`, `suspended`, ...
    pub const PROVOST_STATE: &str = "provostState";
    /// The address outside, for invitations.
    pub const PROVOST_PRIVATE_MAIL: &str = "provostPrivateMail";
    /// Programme or unit, as the registrar names it.
    pub const PROVOST_PROGRAM: &str = "provostProgram";
    /// First day of the person's affiliation, GeneralizedTime.
    pub const PROVOST_START_DATE: &str = "provostStartDate";
    /// Last day of the person's affiliation, GeneralizedTime.
    pub const PROVOST_END_DATE: &str = "provostEndDate";
    /// `registrar`, `helpdesk`, `postmaster`, `admin`, `auditor` on people; `mailcore`, `provisioner` on services.
    pub const PROVOST_ROLE: &str = "provostRole";
    /// The import that last wrote the entry.
    pub const PROVOST_LAST_BATCH: &str = "provostLastBatch";
    /// RDN of an address entry: the normalised address.
    pub const PROVOST_ADDRESS: &str = "provostAddress";
    /// primary, alias, retained, role, list, quarantined.
    pub const PROVOST_ADDRESS_KIND: &str = "provostAddressKind";
    /// DN of the person whose address it is.
    pub const PROVOST_OWNER: &str = "provostOwner";
    /// GeneralizedTime: since when.
    pub const PROVOST_SINCE: &str = "provostSince";
    /// GeneralizedTime: until when.
    pub const PROVOST_UNTIL: &str = "provostUntil";
    /// Where mail to a role address goes.
    pub const PROVOST_TARGET: &str = "provostTarget";
    /// GeneralizedTime: when the writer last confirmed that it runs.
    pub const PROVOST_HEARTBEAT: &str = "provostHeartbeat";
    /// Netscape: where mail is forwarded to.
    pub const MAIL_FORWARDING_ADDRESS: &str = "mailForwardingAddress";
    /// Netscape: `mailbox`, `forward`.
    pub const MAIL_DELIVERY_OPTION: &str = "mailDeliveryOption";
    /// Sun: a Sieve script.
    pub const MAIL_SIEVE_RULE_SOURCE: &str = "mailSieveRuleSource";
    /// Text for people (RFC 4519 §2.5).
    pub const DESCRIPTION: &str = "description";
    /// RDN of the suffix.
    pub const DC: &str = "dc";
    /// Name of the institution.
    pub const O: &str = "o";
    /// RDN of a container.
    pub const OU: &str = "ou";
    /// RDN of a domain entry: a served domain.
    pub const PROVOST_DOMAIN: &str = "provostDomain";
    /// A value of the setting that `cn` names, at most 512 octets. Multi-valued.
    pub const PROVOST_VALUE: &str = "provostValue";
    /// DN of a member of a group (RFC 4519 §2.17).
    pub const MEMBER: &str = "member";
    /// Operational (RFC 4530).
    pub const ENTRY_UUID: &str = "entryUUID";
    /// Operational: change sequence number of the last write.
    pub const ENTRY_CSN: &str = "entryCSN";
    /// Operational, on the suffix entry.
    pub const CONTEXT_CSN: &str = "contextCSN";
    /// Operational: identity that added the entry.
    pub const CREATORS_NAME: &str = "creatorsName";
    /// Operational: identity that last changed it.
    pub const MODIFIERS_NAME: &str = "modifiersName";
    /// Structural class of the entry; operational, the server's own (RFC 4512 §3.4.6).
    pub const STRUCTURAL_OBJECT_CLASS: &str = "structuralObjectClass";
    /// Operational: where the schema is published.
    pub const SUBSCHEMA_SUBENTRY: &str = "subschemaSubentry";
    /// Operational (X.501): whether anything stands below.
    pub const HAS_SUBORDINATES: &str = "hasSubordinates";
    /// When the entry was made, GeneralizedTime; operational (RFC 4512 §3.4.2).
    pub const CREATE_TIMESTAMP: &str = "createTimestamp";
    /// When the entry last changed, GeneralizedTime; operational (RFC 4512 §3.4.4).
    pub const MODIFY_TIMESTAMP: &str = "modifyTimestamp";
}

/// Names of object classes.
pub mod class {
    /// Abstract class that every entry has (RFC 4512 §2.4.1).
    pub const TOP: &str = "top";
    /// Superior of `organizationalPerson`.
    pub const PERSON: &str = "person";
    /// Superior of `inetOrgPerson`.
    pub const ORGANIZATIONAL_PERSON: &str = "organizationalPerson";
    /// Structural class of a container.
    pub const ORGANIZATIONAL_UNIT: &str = "organizationalUnit";
    /// Structural class of the suffix.
    pub const ORGANIZATION: &str = "organization";
    /// Auxiliary class of the suffix.
    pub const DC_OBJECT: &str = "dcObject";
    /// Structural class of a service identity.
    pub const APPLICATION_PROCESS: &str = "applicationProcess";
    /// Structural class of the heartbeat.
    pub const PROVOST_SYSTEM_ENTRY: &str = "provostSystemEntry";
    /// Structural class of a person.
    pub const INET_ORG_PERSON: &str = "inetOrgPerson";
    /// Auxiliary class of people: affiliation at the university (eduPerson).
    pub const EDU_PERSON: &str = "eduPerson";
    /// Auxiliary class of mail routing, for servers that know LASER.
    pub const INET_LOCAL_MAIL_RECIPIENT: &str = "inetLocalMailRecipient";
    /// Auxiliary: Netscape mail attributes (vacation, quota).
    pub const MAIL_RECIPIENT: &str = "mailRecipient";
    /// Auxiliary: what makes a person an account of Provost.
    pub const PROVOST_ACCOUNT: &str = "provostAccount";
    /// Structural class of an address.
    pub const PROVOST_ADDRESS_ENTRY: &str = "provostAddressEntry";
    /// Structural class of a served domain.
    pub const PROVOST_DOMAIN_ENTRY: &str = "provostDomainEntry";
    /// Structural class of a setting that all nodes share, below `ou=policies` or `ou=services`.
    pub const PROVOST_SETTING: &str = "provostSetting";
    /// Structural class of a group that may be empty.
    pub const PROVOST_GROUP: &str = "provostGroup";
    /// Structural class of a group with at least one member (RFC 4519 §3.5).
    pub const GROUP_OF_NAMES: &str = "groupOfNames";
    /// Auxiliary on `applicationProcess`-like entries below `ou=services`: an identity with a role.
    pub const PROVOST_SERVICE: &str = "provostService";
}

/// Containers below the suffix.
pub mod ou {
    /// `ou` below the suffix that holds people.
    pub const PEOPLE: &str = "people";
    /// `ou` below the suffix that holds addresses: one entry each.
    pub const ADDRESSES: &str = "addresses";
    /// Groups and lists.
    pub const GROUPS: &str = "groups";
    /// `ou` below the suffix that holds the domains served here.
    pub const DOMAINS: &str = "domains";
    /// `ou` below the suffix that holds policies: settings that all nodes share.
    pub const POLICIES: &str = "policies";
    /// Service identities and settings shared by nodes.
    pub const SERVICES: &str = "services";
    /// What is left of purged accounts.
    pub const TOMBSTONES: &str = "tombstones";
    /// Heartbeat, writer epoch.
    pub const SYSTEM: &str = "system";
    /// All of them, in the order in which they are made.
    pub const ALL: [&str; 8] = [PEOPLE, ADDRESSES, GROUPS, DOMAINS, POLICIES, SERVICES, TOMBSTONES, SYSTEM];
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::definition::{Definitions, parse};
    use super::*;

    fn files() -> Vec<Definitions> {
        let texts = std::iter::once(BASE_LDIF).chain(LDIF_FILES.iter().map(|(_, ldif)| *ldif));
        texts.map(|ldif| parse(ldif).unwrap()).collect()
    }

    /// String constants of this file's modules, read from the source so that none can be forgotten.
    fn constants(module: &str) -> Vec<&'static str> {
        let source = include_str!("lib.rs");
        let start = source.find(&format!("pub mod {module} {{")).unwrap();
        let body = &source[start..start + source[start..].find("\n}").unwrap()];
        body.lines().filter(|line| line.contains(": &str = ")).filter_map(|line| line.split('"').nth(1)).collect()
    }

    #[test]
    fn every_constant_is_defined_with_this_spelling() {
        let files = files();
        let attributes: HashSet<&str> =
            files.iter().flat_map(|f| &f.attribute_types).flat_map(|a| &a.names).map(String::as_str).collect();
        let classes: HashSet<&str> =
            files.iter().flat_map(|f| &f.object_classes).flat_map(|c| &c.names).map(String::as_str).collect();
        assert!(constants("attr").len() > 40 && constants("class").len() > 8);
        for name in constants("attr") {
            assert!(attributes.contains(name), "no attribute type {name}");
        }
        for name in constants("class") {
            assert!(classes.contains(name), "no object class {name}");
        }
    }

    #[test]
    fn definitions_refer_to_what_stands_before_them() {
        let mut attributes = HashSet::new();
        let mut classes = HashSet::new();
        for file in files() {
            for attribute in file.attribute_types {
                let superior = attribute.superior.as_ref().map(|name| name.to_lowercase());
                assert!(superior.is_none_or(|name| attributes.contains(&name)), "{}", attribute.text);
                assert!(attribute.syntax.is_some() || attribute.superior.is_some(), "{}", attribute.text);
                attributes.extend(attribute.names.iter().map(|name| name.to_lowercase()));
            }
            for class in file.object_classes {
                assert!(class.superiors.iter().all(|name| classes.contains(&name.to_lowercase())), "{}", class.text);
                for name in class.must.iter().chain(&class.may) {
                    assert!(attributes.contains(&name.to_lowercase()), "{name} in {}", class.text);
                }
                classes.extend(class.names.iter().map(|name| name.to_lowercase()));
            }
        }
    }

    #[test]
    fn no_number_and_no_name_is_used_twice() {
        let mut seen: HashMap<String, String> = HashMap::new();
        for file in files() {
            let attributes = file.attribute_types.into_iter().map(|a| (a.oid, a.names, a.text));
            let classes = file.object_classes.into_iter().map(|c| (c.oid, c.names, c.text));
            for (oid, names, text) in attributes.chain(classes) {
                for key in names.into_iter().map(|name| name.to_lowercase()).chain([oid]) {
                    assert_eq!(seen.insert(key, text.clone()), None, "{text}");
                }
            }
        }
    }
}
