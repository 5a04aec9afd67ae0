//! The table of attributes: their names for people, and the form of their values.

use provost_schema::attr;

/// The form of an attribute's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueForm {
    /// Text for people, shown as it is.
    Text,
    /// GeneralizedTime, shown as a day.
    Day,
    /// GeneralizedTime, shown as a day and a time.
    Moment,
    /// A day as `YYYYMMDD`, shown as `YYYY-MM-DD`.
    CivilDate,
    /// A number of octets.
    Octets,
    /// A state of the account, as provostState spells it.
    State,
    /// An affiliation of eduPerson.
    Affiliation,
    /// A kind of address, as provostAddressKind spells it.
    AddressKind,
    /// What a state forbids, as provostRestriction spells it.
    Restriction,
    /// A language tag.
    Language,
    /// provostLock: `NAME SINCE UNTIL OWNER REASON`.
    Lock,
    /// provostAffiliation: `SOURCE WORD START END PROGRAMME`.
    Period,
    /// provostAbsence: `SOURCE COUNT SINCE DIGEST`.
    Absence,
    /// provostOrigin: `ATTRIBUTE SINCE UNTIL ACTOR`.
    Origin,
    /// provostExtension: `SINCE UNTIL APPROVER REASON`.
    Extension,
    /// provostNotice: `EVENT DAYS TIME`.
    Notice,
    /// A DN, of which the first value is shown.
    Name,
    /// A secret: shown only as set.
    Secret,
}

/// One attribute or field: the form of its values, and its name in both languages.
pub(super) struct Row {
    pub(super) attribute: &'static str,
    pub(super) form: ValueForm,
    pub(super) english: &'static str,
    pub(super) french: &'static str,
}

const fn row(attribute: &'static str, form: ValueForm, english: &'static str, french: &'static str) -> Row {
    Row { attribute, form, english, french }
}

use ValueForm as Form;

/// All attributes that plans, audit records and entries of people name; at the end, the fields of records that are no
/// attributes.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(attr::GIVEN_NAME, Form::Text, "given name", "prénom"),
    row(attr::SN, Form::Text, "family name", "nom de famille"),
    row(attr::CN, Form::Text, "full name", "nom complet"),
    row(attr::DISPLAY_NAME, Form::Text, "name shown", "nom affiché"),
    row(attr::PROVOST_CHOSEN_NAME, Form::Text, "chosen name", "prénom choisi"),
    row(attr::EMPLOYEE_NUMBER, Form::Text, "number", "matricule"),
    row(attr::PROVOST_SOURCE_ID, Form::Text, "number in the source", "numéro dans la source"),
    row(attr::PROVOST_PERSON_ID, Form::Text, "id", "identifiant"),
    row(attr::EDU_PERSON_AFFILIATION, Form::Affiliation, "affiliations", "affiliations"),
    row(attr::EDU_PERSON_PRIMARY_AFFILIATION, Form::Affiliation, "affiliation", "affiliation"),
    row(attr::PROVOST_AFFILIATION, Form::Period, "affiliation of a source", "affiliation d’une source"),
    row(attr::SCHAC_DATE_OF_BIRTH, Form::CivilDate, "birth date", "date de naissance"),
    row(attr::PROVOST_PRIVATE_MAIL, Form::Text, "private address", "adresse privée"),
    row(attr::PREFERRED_LANGUAGE, Form::Language, "language", "langue"),
    row(attr::PROVOST_PROGRAM, Form::Text, "programme", "programme"),
    row(attr::PROVOST_START_DATE, Form::Day, "first day", "premier jour"),
    row(attr::PROVOST_END_DATE, Form::Day, "last day", "dernier jour"),
    row(attr::UID, Form::Text, "login", "nom d’utilisateur"),
    row(attr::MAIL, Form::Text, "primary address", "adresse principale"),
    row(attr::MAIL_LOCAL_ADDRESS, Form::Text, "addresses", "adresses"),
    row(attr::PROVOST_ADDRESS, Form::Text, "address", "adresse"),
    row(attr::PROVOST_ADDRESS_KIND, Form::AddressKind, "kind of address", "nature de l’adresse"),
    row(attr::PROVOST_OWNER, Form::Name, "owner", "titulaire"),
    row(attr::PROVOST_SINCE, Form::Moment, "since", "depuis"),
    row(attr::PROVOST_UNTIL, Form::Moment, "until", "jusqu’au"),
    row(attr::PROVOST_TARGET, Form::Text, "target", "destination"),
    row(attr::USER_PASSWORD, Form::Secret, "password", "mot de passe"),
    row(attr::PROVOST_SCRAM, Form::Secret, "verifier of the password", "vérificateur du mot de passe"),
    row(attr::PROVOST_PASSWORD_HISTORY, Form::Secret, "former passwords", "anciens mots de passe"),
    row(attr::PROVOST_ACTIVATION, Form::Secret, "activation link", "lien d’activation"),
    row(attr::PROVOST_PASSWORD_SINCE, Form::Moment, "password set", "mot de passe défini"),
    row(attr::PROVOST_CREDENTIAL_STATE, Form::Text, "state of the password", "état du mot de passe"),
    row(attr::PROVOST_LAST_LOGIN, Form::Day, "last login", "dernière connexion"),
    row(attr::PROVOST_ROLE, Form::Text, "roles", "rôles"),
    row(attr::PROVOST_STATE, Form::State, "state", "état"),
    row(attr::PROVOST_STATE_SINCE, Form::Moment, "state since", "état depuis"),
    row(attr::PROVOST_STATE_UNTIL, Form::Moment, "state until", "état jusqu’au"),
    row(attr::PROVOST_NEXT_STATE, Form::State, "next state", "état suivant"),
    row(attr::PROVOST_POLICY, Form::Text, "policy", "politique"),
    row(attr::PROVOST_RESTRICTION, Form::Restriction, "restrictions", "restrictions"),
    row(attr::PROVOST_LOCK, Form::Lock, "lock", "verrou"),
    row(attr::PROVOST_ABSENCE, Form::Absence, "absence", "absence"),
    row(attr::PROVOST_ORIGIN, Form::Origin, "set by hand", "fixé à la main"),
    row(attr::PROVOST_EXTENSION, Form::Extension, "extension", "prolongation"),
    row(attr::PROVOST_NOTICE, Form::Notice, "notice", "avis"),
    row(attr::PROVOST_LAST_BATCH, Form::Text, "last batch", "dernier lot"),
    row(attr::MAIL_QUOTA, Form::Octets, "quota", "quota"),
    row(attr::PROVOST_QUOTA_CLASS, Form::Text, "quota class", "classe de quota"),
    row(attr::PROVOST_QUOTA_UNTIL, Form::Day, "last day of the quota", "dernier jour du quota"),
    row(attr::MAIL_FORWARDING_ADDRESS, Form::Text, "forwarding to", "réacheminement vers"),
    row(attr::MAIL_DELIVERY_OPTION, Form::Text, "delivery", "livraison"),
    row(attr::PROVOST_FORWARD_START, Form::Day, "first day of the forwarding", "premier jour du réacheminement"),
    row(attr::PROVOST_FORWARD_END, Form::Day, "last day of the forwarding", "dernier jour du réacheminement"),
    row(attr::MAIL_AUTO_REPLY_MODE, Form::Text, "vacation reply", "réponse d’absence"),
    row(attr::MAIL_AUTO_REPLY_SUBJECT, Form::Text, "subject of the vacation reply", "objet de la réponse d’absence"),
    row(attr::MAIL_AUTO_REPLY_TEXT, Form::Text, "text of the vacation reply", "texte de la réponse d’absence"),
    row(attr::VACATION_START_DATE, Form::Day, "first day of the vacation", "premier jour de l’absence"),
    row(attr::VACATION_END_DATE, Form::Day, "last day of the vacation", "dernier jour de l’absence"),
    row(attr::PROVOST_VACATION_INTERVAL, Form::Text, "days between replies", "jours entre les réponses"),
    row(attr::MAIL_SIEVE_RULE_SOURCE, Form::Text, "Sieve script", "script Sieve"),
    row(attr::DESCRIPTION, Form::Text, "description", "description"),
    row(attr::MEMBER, Form::Name, "members", "membres"),
    row(attr::OWNER, Form::Name, "owners", "responsables"),
    row(attr::PROVOST_GROUP_KIND, Form::Text, "kind of group", "nature du groupe"),
    row(attr::PROVOST_COURSE, Form::Text, "course", "cours"),
    row(attr::PROVOST_TERM, Form::Text, "term", "trimestre"),
    // Fields of audit records.
    row("address", Form::Text, "address", "adresse"),
    row("role", Form::Text, "roles", "rôles"),
    row("start", Form::Text, "first day of the vacation", "premier jour de l’absence"),
    row("end", Form::Text, "last day of the vacation", "dernier jour de l’absence"),
    row("subject_en", Form::Text, "English subject", "objet en anglais"),
    row("subject_fr", Form::Text, "French subject", "objet en français"),
    row("text_en", Form::Text, "English text", "texte en anglais"),
    row("text_fr", Form::Text, "French text", "texte en français"),
    row("interval_days", Form::Text, "days between replies", "jours entre les réponses"),
];

/// Words of enumerated values: the value, English, French.
pub(super) type ValueWords = &'static [(&'static str, &'static str, &'static str)];

pub(super) const STATES: ValueWords = &[
    ("staged", "in preparation", "en préparation"),
    ("invited", "invited", "invité"),
    ("active", "active", "actif"),
    ("suspended", "suspended", "suspendu"),
    ("grace", "grace period", "délai de grâce"),
    ("alumni", "alumni", "ancien"),
    ("closing", "closing", "en fermeture"),
    ("closed", "closed", "fermé"),
];

pub(super) const AFFILIATIONS: ValueWords = &[
    ("student", "student", "étudiant"),
    ("faculty", "faculty", "corps enseignant"),
    ("staff", "staff", "personnel"),
    ("alum", "alum", "ancien étudiant"),
];

pub(super) const ADDRESS_KINDS: ValueWords = &[
    ("primary", "primary", "principale"),
    ("alias", "alias", "alias"),
    ("retained", "retained", "conservée"),
    ("role", "role", "de fonction"),
    ("list", "list", "liste"),
    ("quarantined", "in quarantine", "en quarantaine"),
];

pub(super) const RESTRICTIONS: ValueWords = &[
    ("no-login", "no login", "pas de connexion"),
    ("no-send", "no sending", "pas d’envoi"),
    ("read-only", "mail can only be read", "courriel en lecture seule"),
    ("no-receive", "no receiving", "pas de réception"),
    ("forward-only", "forwarding only", "réacheminement seulement"),
];

pub(super) const LANGUAGES: ValueWords = &[("fr", "French", "français"), ("en", "English", "anglais")];
