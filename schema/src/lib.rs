//! The directory schema of Provost: its LDIF source and the typed names of its attributes and classes.
//!
//! The LDIF text in `ldif/` is the truth; the constants here are checked against it by a test.

/// Names of attribute types.
pub mod attr {
    /// X.520; also the operational ones that we read.
    pub const OBJECT_CLASS: &str = "objectClass";
    /// Common name: given and family name.
    pub const CN: &str = "cn";
    /// Family name.
    pub const SN: &str = "sn";
    /// Given name.
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
    /// `en`, `fr`.
    pub const PREFERRED_LANGUAGE: &str = "preferredLanguage";
    /// Password hash with its scheme in braces.
    pub const USER_PASSWORD: &str = "userPassword";
    /// eduPerson vocabulary: student, faculty, staff, alum, ...
    pub const EDU_PERSON_AFFILIATION: &str = "eduPersonAffiliation";
    /// The one that decides.
    pub const EDU_PERSON_PRIMARY_AFFILIATION: &str = "eduPersonPrimaryAffiliation";
    /// SCHAC: YYYYMMDD.
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
    /// GeneralizedTime.
    pub const PROVOST_START_DATE: &str = "provostStartDate";
    /// GeneralizedTime.
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
    /// RDN of a domain entry: a served domain.
    pub const PROVOST_DOMAIN: &str = "provostDomain";
    /// Operational (RFC 4530).
    pub const ENTRY_UUID: &str = "entryUUID";
    /// Operational: change sequence number of the last write.
    pub const ENTRY_CSN: &str = "entryCSN";
    /// Operational, on the suffix entry.
    pub const CONTEXT_CSN: &str = "contextCSN";
    /// Operational.
    pub const CREATE_TIMESTAMP: &str = "createTimestamp";
    /// Operational.
    pub const MODIFY_TIMESTAMP: &str = "modifyTimestamp";
}

/// Names of object classes.
pub mod class {
    /// Structural class of a person.
    pub const INET_ORG_PERSON: &str = "inetOrgPerson";
    /// Auxiliary (eduPerson).
    pub const EDU_PERSON: &str = "eduPerson";
    /// Auxiliary (LASER).
    pub const INET_LOCAL_MAIL_RECIPIENT: &str = "inetLocalMailRecipient";
    /// Auxiliary: Netscape mail attributes (vacation, quota).
    pub const MAIL_RECIPIENT: &str = "mailRecipient";
    /// Auxiliary: what makes a person an account of Provost.
    pub const PROVOST_ACCOUNT: &str = "provostAccount";
    /// Structural class of an address.
    pub const PROVOST_ADDRESS_ENTRY: &str = "provostAddressEntry";
    /// Structural class of a served domain.
    pub const PROVOST_DOMAIN_ENTRY: &str = "provostDomainEntry";
    /// Auxiliary on `applicationProcess`-like entries below `ou=services`: an identity with a role.
    pub const PROVOST_SERVICE: &str = "provostService";
}

/// Containers below the suffix.
pub mod ou {
    /// People.
    pub const PEOPLE: &str = "people";
    /// Addresses.
    pub const ADDRESSES: &str = "addresses";
    /// Groups and lists.
    pub const GROUPS: &str = "groups";
    /// Served domains.
    pub const DOMAINS: &str = "domains";
    /// Policies.
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
