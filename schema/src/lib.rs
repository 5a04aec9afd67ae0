//! The directory schema of Provost: its LDIF source and the typed names of its attributes and classes.
//!
//! The LDIF text in `ldif/` is the source; a test checks the constants here against it. [`slapd_conf`] and
//! [`directory_server_389`] convert it to the forms that other servers load.

pub mod definition;
mod emit;
mod naming;

pub use emit::{directory_server_389, slapd_conf};
pub use naming::{NamingType, naming_type};

/// The files that OpenLDAP does not ship, in cn=config form: name and text. slapd must load them in this order, after
/// core, cosine, inetorgperson and misc.
pub const LDIF_FILES: &[(&str, &str)] = &[
    ("eduperson.ldif", include_str!("../ldif/eduperson.ldif")),
    ("schac.ldif", include_str!("../ldif/schac.ldif")),
    ("netscape-mail.ldif", include_str!("../ldif/netscape-mail.ldif")),
    ("provost.ldif", include_str!("../ldif/provost.ldif")),
];

/// Standard definitions that OpenLDAP ships, for the embedded server, which has no other source.
pub const BASE_LDIF: &str = include_str!("../ldif/base.ldif");

/// The files of [`LDIF_FILES`] whose definitions are in the default schema of 389-DS.
pub const SHIPPED_BY_389: &[&str] = &["eduperson.ldif", "netscape-mail.ldif"];

/// Names of attribute types.
pub mod attr {
    /// Object classes of the entry (X.501).
    pub const OBJECT_CLASS: &str = "objectClass";
    /// Common name: given and family name (RFC 4519 §2.3).
    pub const CN: &str = "cn";
    /// Family name (RFC 4519 §2.32).
    pub const SN: &str = "sn";
    /// Given name (RFC 4519 §2.12).
    pub const GIVEN_NAME: &str = "givenName";
    /// Display name (RFC 2798 §2.3).
    pub const DISPLAY_NAME: &str = "displayName";
    /// Login name (RFC 4519 §2.39), single by policy.
    pub const UID: &str = "uid";
    /// The primary address, copied from its address entry.
    pub const MAIL: &str = "mail";
    /// Every address at which the person receives mail, the primary one included
    /// (draft-lachman-laser-ldap-mail-routing, OpenLDAP `misc`).
    pub const MAIL_LOCAL_ADDRESS: &str = "mailLocalAddress";
    /// The registrar's number for the person, from the column `person_id` of an import (RFC 2798 §2.4).
    pub const EMPLOYEE_NUMBER: &str = "employeeNumber";
    /// The person's language, `en` or `fr`, which comes first in a vacation reply (RFC 2798 §2.7).
    pub const PREFERRED_LANGUAGE: &str = "preferredLanguage";
    /// Password hash with its scheme in braces (RFC 2307 §5.3).
    pub const USER_PASSWORD: &str = "userPassword";
    /// Affiliations in the eduPerson vocabulary: student, faculty, staff, alum, ...
    pub const EDU_PERSON_AFFILIATION: &str = "eduPersonAffiliation";
    /// The affiliation that selects the quota (eduPerson).
    pub const EDU_PERSON_PRIMARY_AFFILIATION: &str = "eduPersonPrimaryAffiliation";
    /// Birth date, YYYYMMDD (SCHAC).
    pub const SCHAC_DATE_OF_BIRTH: &str = "schacDateOfBirth";
    /// Quota in octets; absent selects the default (Netscape).
    pub const MAIL_QUOTA: &str = "mailQuota";
    /// `reply` while the vacation rule is on (Netscape).
    pub const MAIL_AUTO_REPLY_MODE: &str = "mailAutoReplyMode";
    /// Subject of the vacation reply, also `;lang-fr` and `;lang-en` (Sun).
    pub const MAIL_AUTO_REPLY_SUBJECT: &str = "mailAutoReplySubject";
    /// Text of the vacation reply, also `;lang-fr` and `;lang-en` (Netscape).
    pub const MAIL_AUTO_REPLY_TEXT: &str = "mailAutoReplyText";
    /// First second of the vacation, GeneralizedTime (Netscape).
    pub const VACATION_START_DATE: &str = "vacationStartDate";
    /// Last second of the vacation, GeneralizedTime (Netscape).
    pub const VACATION_END_DATE: &str = "vacationEndDate";
    /// Days between two vacation replies to one sender, 1 to 365; absent means 7 (RFC 5230 §4.1).
    pub const PROVOST_VACATION_INTERVAL: &str = "provostVacationInterval";
    /// RDN of a person: an immutable UUID.
    pub const PROVOST_PERSON_ID: &str = "provostPersonId";
    /// The person's key in a source: `registrar:12345`. Multi-valued, unique.
    pub const PROVOST_SOURCE_ID: &str = "provostSourceId";
    /// State of the account: `active`, `suspended`, ...
    pub const PROVOST_STATE: &str = "provostState";
    /// The person's private address elsewhere, for invitations.
    pub const PROVOST_PRIVATE_MAIL: &str = "provostPrivateMail";
    /// Programme or unit, in the registrar's words.
    pub const PROVOST_PROGRAM: &str = "provostProgram";
    /// First second of the person's affiliation, GeneralizedTime.
    pub const PROVOST_START_DATE: &str = "provostStartDate";
    /// Last second of the person's affiliation, GeneralizedTime.
    pub const PROVOST_END_DATE: &str = "provostEndDate";
    /// `registrar`, `helpdesk`, `postmaster`, `admin`, `auditor` on people; `mailcore`, `provisioner` on services.
    pub const PROVOST_ROLE: &str = "provostRole";
    /// Id of the import that last wrote the entry.
    pub const PROVOST_LAST_BATCH: &str = "provostLastBatch";
    /// RDN of an address entry: the normalised address.
    pub const PROVOST_ADDRESS: &str = "provostAddress";
    /// Kind of an address: primary, alias, retained, role, list, quarantined.
    pub const PROVOST_ADDRESS_KIND: &str = "provostAddressKind";
    /// DN of the person who owns the address.
    pub const PROVOST_OWNER: &str = "provostOwner";
    /// When the address came to its owner, GeneralizedTime; it stays in quarantine and when the same owner gets it back.
    pub const PROVOST_SINCE: &str = "provostSince";
    /// When the address stops being valid, GeneralizedTime.
    pub const PROVOST_UNTIL: &str = "provostUntil";
    /// Where mail to a role address is sent. Provost does not act on it.
    pub const PROVOST_TARGET: &str = "provostTarget";
    /// When the directory's writer last reported that it runs, GeneralizedTime. Reserved: Provost neither reads nor
    /// writes it.
    pub const PROVOST_HEARTBEAT: &str = "provostHeartbeat";
    /// Address to which mail is forwarded (Netscape). Provost does not act on it.
    pub const MAIL_FORWARDING_ADDRESS: &str = "mailForwardingAddress";
    /// How mail is delivered: `mailbox` or `forward` (Netscape). Provost does not act on it.
    pub const MAIL_DELIVERY_OPTION: &str = "mailDeliveryOption";
    /// A Sieve script (Sun). Provost does not act on it.
    pub const MAIL_SIEVE_RULE_SOURCE: &str = "mailSieveRuleSource";
    /// A description for people (RFC 4519 §2.5).
    pub const DESCRIPTION: &str = "description";
    /// Domain component: the RDN of the suffix (RFC 4519 §2.4).
    pub const DC: &str = "dc";
    /// Name of the institution (RFC 4519 §2.19).
    pub const O: &str = "o";
    /// RDN of a container (RFC 4519 §2.20).
    pub const OU: &str = "ou";
    /// RDN of a domain entry: a served domain.
    pub const PROVOST_DOMAIN: &str = "provostDomain";
    /// A value of the setting that `cn` names, at most 512 octets. Multi-valued.
    pub const PROVOST_VALUE: &str = "provostValue";
    /// When `provostState` took its value, GeneralizedTime.
    pub const PROVOST_STATE_SINCE: &str = "provostStateSince";
    /// When the lifecycle moves the account to `provostNextState`, GeneralizedTime.
    pub const PROVOST_STATE_UNTIL: &str = "provostStateUntil";
    /// The state that follows at `provostStateUntil`.
    pub const PROVOST_NEXT_STATE: &str = "provostNextState";
    /// A lock, which forbids login while it stands: `NAME SINCE UNTIL OWNER REASON`; UNTIL is `-` for no end.
    /// Multi-valued.
    pub const PROVOST_LOCK: &str = "provostLock";
    /// What the account's state forbids: `no-login`, `no-send`, `read-only`, `no-receive`, `forward-only`. Multi-valued.
    pub const PROVOST_RESTRICTION: &str = "provostRestriction";
    /// Name of the lifecycle policy that holds for the person: fixed when its promise was made.
    pub const PROVOST_POLICY: &str = "provostPolicy";
    /// One affiliation as a source states it: `SOURCE WORD START END PROGRAMME`; a missing time is `-`. Multi-valued.
    pub const PROVOST_AFFILIATION: &str = "provostAffiliation";
    /// A source whose complete files no longer name the person: `SOURCE COUNT SINCE DIGEST`. Multi-valued.
    pub const PROVOST_ABSENCE: &str = "provostAbsence";
    /// An attribute that was set by hand, so that no source changes it: `ATTRIBUTE SINCE UNTIL ACTOR`. Multi-valued.
    pub const PROVOST_ORIGIN: &str = "provostOrigin";
    /// A notice that was sent: `EVENT DAYS TIME`, so that none is sent twice. Multi-valued.
    pub const PROVOST_NOTICE: &str = "provostNotice";
    /// An extension of a phase: `SINCE UNTIL APPROVER REASON`. Multi-valued.
    pub const PROVOST_EXTENSION: &str = "provostExtension";
    /// Time of a login, exact to one day, for inactivity timers; GeneralizedTime.
    pub const PROVOST_LAST_LOGIN: &str = "provostLastLogin";
    /// First second of the forwarding to `mailForwardingAddress`; absent means at once.
    pub const PROVOST_FORWARD_START: &str = "provostForwardStart";
    /// Last second of the forwarding; absent means no end.
    pub const PROVOST_FORWARD_END: &str = "provostForwardEnd";
    /// Quota class of the person, where it is not that of the affiliation.
    pub const PROVOST_QUOTA_CLASS: &str = "provostQuotaClass";
    /// Last second of the person's own quota or quota class; absent means no end.
    pub const PROVOST_QUOTA_UNTIL: &str = "provostQuotaUntil";
    /// Given name by which the person goes, which names and addresses use in place of the legal one.
    pub const PROVOST_CHOSEN_NAME: &str = "provostChosenName";
    /// State of the credentials: `must-change`, `activation`; absent means that nothing is due.
    pub const PROVOST_CREDENTIAL_STATE: &str = "provostCredentialState";
    /// When the password was set, GeneralizedTime.
    pub const PROVOST_PASSWORD_SINCE: &str = "provostPasswordSince";
    /// An earlier password, which may not be set again: the GeneralizedTime at which it was replaced, a space, and its
    /// hash. Secret. Multi-valued.
    pub const PROVOST_PASSWORD_HISTORY: &str = "provostPasswordHistory";
    /// Digest of a one-time activation link and its end: `DIGEST UNTIL`. Secret.
    pub const PROVOST_ACTIVATION: &str = "provostActivation";
    /// SCRAM verifier of the password, in the form of RFC 5803. Secret. Multi-valued.
    pub const PROVOST_SCRAM: &str = "provostScram";
    /// Population that a policy concerns: an affiliation, or an affiliation and a programme. Multi-valued.
    pub const PROVOST_POPULATION: &str = "provostPopulation";
    /// Kind of a policy: `lifecycle`, `naming`.
    pub const PROVOST_POLICY_KIND: &str = "provostPolicyKind";
    /// Name of the source whose file a batch applied.
    pub const PROVOST_SOURCE: &str = "provostSource";
    /// Digest of the file that a batch applied (blake3, hex).
    pub const PROVOST_DIGEST: &str = "provostDigest";
    /// Hash of the plan that a batch applied (blake3, hex).
    pub const PROVOST_PLAN_HASH: &str = "provostPlanHash";
    /// `complete` when the file names everyone of its source, else `partial`.
    pub const PROVOST_COVERAGE: &str = "provostCoverage";
    /// When the source made the file, GeneralizedTime.
    pub const PROVOST_EXTRACTED: &str = "provostExtracted";
    /// What a batch did, for the guard: `CATEGORY COHORT COUNT SIZE`. Multi-valued.
    pub const PROVOST_COUNT: &str = "provostCount";
    /// Who began a batch.
    pub const PROVOST_ACTOR: &str = "provostActor";
    /// Id of the batch that undid this one.
    pub const PROVOST_UNDONE_BY: &str = "provostUndoneBy";
    /// Salt with which the digest in a tombstone's name was made, hex.
    pub const PROVOST_SALT: &str = "provostSalt";
    /// How a group gets its members: `static`, `filter`, `enrolment`.
    pub const PROVOST_GROUP_KIND: &str = "provostGroupKind";
    /// LDAP filter (RFC 4515) of the people who are members.
    pub const PROVOST_FILTER: &str = "provostFilter";
    /// Who may send to a group: `anyone`, `site`, `members`, `owners`, or an address. Multi-valued.
    pub const PROVOST_POSTER: &str = "provostPoster";
    /// Largest message to a group, octets.
    pub const PROVOST_MESSAGE_SIZE: &str = "provostMessageSize";
    /// Course and section from whose enrolment a group is made.
    pub const PROVOST_COURSE: &str = "provostCourse";
    /// Term of the course of a group.
    pub const PROVOST_TERM: &str = "provostTerm";
    /// The request of the first of two people who purge an account: `SINCE ACTOR REASON`.
    pub const PROVOST_PURGE_REQUEST: &str = "provostPurgeRequest";
    /// What the person says against a notice: `EVENT SINCE REASON`.
    pub const PROVOST_OBJECTION: &str = "provostObjection";
    /// DN of a group member (RFC 4519 §2.17).
    pub const MEMBER: &str = "member";
    /// DN of an owner of a group (RFC 4519 §2.21).
    pub const OWNER: &str = "owner";
    /// Position of a person (RFC 4519 §2.38).
    pub const TITLE: &str = "title";
    /// Attributes that only the directory's writer and the mail core may read: whoever has a value of one can log in as
    /// the person, or test guesses against it.
    pub const SECRETS: [&str; 4] = [USER_PASSWORD, PROVOST_PASSWORD_HISTORY, PROVOST_ACTIVATION, PROVOST_SCRAM];

    /// Operational: the immutable id of the entry (RFC 4530).
    pub const ENTRY_UUID: &str = "entryUUID";
    /// Operational: change sequence number of the last write.
    pub const ENTRY_CSN: &str = "entryCSN";
    /// Operational, on the suffix entry: the newest change sequence number of each server.
    pub const CONTEXT_CSN: &str = "contextCSN";
    /// Operational: identity that added the entry (RFC 4512 §3.4.1).
    pub const CREATORS_NAME: &str = "creatorsName";
    /// Operational: identity that last changed the entry (RFC 4512 §3.4.3).
    pub const MODIFIERS_NAME: &str = "modifiersName";
    /// Operational: structural class of the entry, set by the server (RFC 4512 §3.4.5).
    pub const STRUCTURAL_OBJECT_CLASS: &str = "structuralObjectClass";
    /// Operational: where the schema is published (RFC 4512 §4.2).
    pub const SUBSCHEMA_SUBENTRY: &str = "subschemaSubentry";
    /// Operational: whether the entry has subordinates (X.501).
    pub const HAS_SUBORDINATES: &str = "hasSubordinates";
    /// Operational: when the entry was added, GeneralizedTime (RFC 4512 §3.4.2).
    pub const CREATE_TIMESTAMP: &str = "createTimestamp";
    /// Operational: when the entry last changed, GeneralizedTime (RFC 4512 §3.4.4).
    pub const MODIFY_TIMESTAMP: &str = "modifyTimestamp";
}

/// Names of object classes.
pub mod class {
    /// Abstract class of every entry (RFC 4512 §2.4.1).
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
    /// Structural class of an entry with [`PROVOST_HEARTBEAT`](super::attr::PROVOST_HEARTBEAT). Reserved.
    pub const PROVOST_SYSTEM_ENTRY: &str = "provostSystemEntry";
    /// Structural class of a person.
    pub const INET_ORG_PERSON: &str = "inetOrgPerson";
    /// Auxiliary class of people: affiliation at the university (eduPerson).
    pub const EDU_PERSON: &str = "eduPerson";
    /// Auxiliary class that permits `mailLocalAddress` (draft-lachman-laser-ldap-mail-routing).
    pub const INET_LOCAL_MAIL_RECIPIENT: &str = "inetLocalMailRecipient";
    /// Auxiliary class with the Netscape mail attributes (vacation, quota).
    pub const MAIL_RECIPIENT: &str = "mailRecipient";
    /// Auxiliary class that makes a person an account of Provost.
    pub const PROVOST_ACCOUNT: &str = "provostAccount";
    /// Structural class of an address.
    pub const PROVOST_ADDRESS_ENTRY: &str = "provostAddressEntry";
    /// Structural class of a served domain.
    pub const PROVOST_DOMAIN_ENTRY: &str = "provostDomainEntry";
    /// Structural class of a setting that all nodes share, below `ou=policies` or `ou=services`.
    pub const PROVOST_SETTING: &str = "provostSetting";
    /// Structural class of a policy, below `ou=policies`.
    pub const PROVOST_POLICY_ENTRY: &str = "provostPolicyEntry";
    /// Structural class of a profile by which the files of a source are read, below `ou=sources`.
    pub const PROVOST_SOURCE_PROFILE: &str = "provostSourceProfile";
    /// Structural class of a plan that was applied, below `ou=batches`.
    pub const PROVOST_BATCH: &str = "provostBatch";
    /// Structural class of what is left of a purged account, below `ou=tombstones`.
    pub const PROVOST_TOMBSTONE: &str = "provostTombstone";
    /// Structural class of a group that may be empty.
    pub const PROVOST_GROUP: &str = "provostGroup";
    /// Structural class of a group with at least one member (RFC 4519 §3.5).
    pub const GROUP_OF_NAMES: &str = "groupOfNames";
    /// Auxiliary class of `applicationProcess` entries below `ou=services`: an identity with a role.
    pub const PROVOST_SERVICE: &str = "provostService";
}

/// Names of the containers below the suffix.
pub mod ou {
    /// Container of people.
    pub const PEOPLE: &str = "people";
    /// Container of addresses, one entry each.
    pub const ADDRESSES: &str = "addresses";
    /// Container of groups and lists.
    pub const GROUPS: &str = "groups";
    /// Container of the domains served here.
    pub const DOMAINS: &str = "domains";
    /// Container of policies: settings that all nodes share.
    pub const POLICIES: &str = "policies";
    /// Container of service identities and of settings that nodes share.
    pub const SERVICES: &str = "services";
    /// Container of the profiles by which the files of sources are read.
    pub const SOURCES: &str = "sources";
    /// Container of the plans that were applied: what the guard counts, and which files were accepted.
    pub const BATCHES: &str = "batches";
    /// Container for what remains of purged accounts.
    pub const TOMBSTONES: &str = "tombstones";
    /// Container for entries of [`PROVOST_SYSTEM_ENTRY`](super::class::PROVOST_SYSTEM_ENTRY). Reserved.
    pub const SYSTEM: &str = "system";
    /// All containers, in the order of their creation.
    pub const ALL: [&str; 10] =
        [PEOPLE, ADDRESSES, GROUPS, DOMAINS, POLICIES, SERVICES, SOURCES, BATCHES, TOMBSTONES, SYSTEM];
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::definition::{SchemaDefinitions, parse};
    use super::*;

    fn files() -> Vec<SchemaDefinitions> {
        let texts = std::iter::once(BASE_LDIF).chain(LDIF_FILES.iter().map(|(_, ldif)| *ldif));
        texts.map(|ldif| parse(ldif).unwrap()).collect()
    }

    /// Reads the string constants of this file's modules from the source, so that none is forgotten.
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
    fn definitions_refer_only_to_earlier_ones() {
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
