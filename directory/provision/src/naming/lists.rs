//! The built-in lists of naming: words of offices, words that may not come about, and letters with their spelling.

/// Names of roles and systems, which people and mail programs trust: no person may have one as login. They come from
/// RFC 2142 §3 to §6, RFC 5321 §4.5.1, and common usage. For a name with a hyphen, dots and hyphens do not count:
/// `no-reply` covers `no.reply` and `noreply`.
pub(crate) const RESERVED: &[&str] = &[
    // RFC 2142 §3: business.
    "info",
    "marketing",
    "sales",
    "support",
    // §4: network operations.
    "abuse",
    "noc",
    "security",
    // §5: services.
    "postmaster",
    "hostmaster",
    "usenet",
    "news",
    "webmaster",
    "www",
    "uucp",
    "ftp",
    // Other names that mail programs and people associate with an office.
    "list",
    "list-request",
    "csirt",
    "cert",
    "soc",
    "phishing",
    "spam",
    "privacy",
    "dpo",
    "legal",
    // Senders of automatic mail.
    "mailer-daemon",
    "no-reply",
    "do-not-reply",
    "bounce",
    "bounces",
    // Mailing list managers.
    "majordomo",
    "listserv",
    "mailman",
    // Names that mail programs look up in a domain, and recipients of automatic reports.
    "autoconfig",
    "auto-discover",
    "wpad",
    "mta-sts",
    "dmarc",
    "tls-rpt",
    // System accounts.
    "root",
    "toor",
    "admin",
    "admins",
    "administrator",
    "administrateur",
    "sys-admin",
    "superuser",
    "operator",
    "system",
    "daemon",
    "nobody",
    "guest",
    "mail",
    "provost",
    // Addresses to which certification authorities once sent their validation mail. The addresses that today's Baseline
    // Requirements permit (admin, administrator, webmaster, hostmaster, postmaster) are above.
    "ssl-admin",
    "ssl-master",
    // Offices of a university.
    "help",
    "help-desk",
    "service-desk",
    "registrar",
    "it",
    "contact",
];

/// Names of offices that people trust most. A policy document refuses what looks like one of them: with the name as
/// first part (`admin-zoe`), with digits for letters (`p0stmaster`) or with a number (`abuse2`).
pub(crate) const IMITATED: [&str; 14] = [
    "abuse",
    "admin",
    "administrator",
    "administrateur",
    "helpdesk",
    "hostmaster",
    "mailerdaemon",
    "noreply",
    "postmaster",
    "registrar",
    "root",
    "security",
    "support",
    "webmaster",
];

/// Words that may not come about where a pattern joins or cuts names: French and English. A site adds its own with the
/// line `vet`. A word of up to three letters counts only where it stands alone.
pub(crate) const VETTED: [&str; 24] = [
    "anus", "bite", "bitch", "caca", "cock", "connard", "couille", "cul", "cunt", "dick", "fuck", "merde", "nazi",
    "negre", "nigger", "penis", "pisse", "porn", "pute", "rape", "salope", "shit", "slut", "whore",
];

/// Letters and hyphens that do not decompose to ASCII, with their built-in spelling. ü is not among them: marks are
/// dropped in every language, so German ü becomes u, not ue.
pub(crate) const LETTERS: [(char, &str); 11] = [
    ('ß', "ss"),
    ('œ', "oe"),
    ('æ', "ae"),
    ('ø', "o"),
    ('ł', "l"),
    ('đ', "d"),
    ('þ', "th"),
    ('ð', "d"),
    ('ı', "i"),
    ('\u{2010}', "-"),
    ('\u{2011}', "-"),
];
