//! Reads and writes the lines of a profile.

use super::check_digit::CheckDigit;
use super::number_shape::Characters;
use super::{
    Blank, ClassGroups, Coverage, Encoding, FileFormat, FollowedOrigin, PROFILE_LINE_MAX, PROFILE_LINES_MAX,
    Precedence, SourceProfile, folded,
};
use crate::column::{Column, ColumnSet};
use crate::date::DateFormat;
use crate::record::Affiliation;

/// A line of a profile that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{line}': {rule}")]
pub struct ProfileError {
    /// The line, cut short.
    pub line: String,
    /// The rule that it breaks.
    pub rule: String,
}

const FORMATS: [(FileFormat, &str); 6] = [
    (FileFormat::Csv, "csv"),
    (FileFormat::OneRoster, "oneroster"),
    (FileFormat::Ldif, "ldif"),
    (FileFormat::JsonLines, "jsonl"),
    (FileFormat::Ldap, "ldap"),
    (FileFormat::Enrolments, "enrolments"),
];
const ENCODINGS: [(Encoding, &str); 4] = [
    (Encoding::Utf8, "utf-8"),
    (Encoding::Windows1252, "windows-1252"),
    (Encoding::Latin1, "latin-1"),
    (Encoding::Utf16, "utf-16"),
];
const SEPARATORS: [(u8, &str); 4] = [(b',', ","), (b';', ";"), (b'\t', "tab"), (b'|', "|")];
const COVERAGES: [(Coverage, &str); 2] = [(Coverage::Complete, "complete"), (Coverage::Partial, "partial")];
const BLANKS: [(Blank, &str); 3] = [(Blank::Keep, "keep"), (Blank::Clear, "clear"), (Blank::Unknown, "unknown")];

/// Keys of which a profile has at most one line.
const SINGLE: [&str; 17] = [
    "version",
    "format",
    "encoding",
    "separator",
    "date-format",
    "trailer",
    "row-count",
    "coverage",
    "base",
    "filter",
    "bind-dn",
    "password-file",
    "complete-read",
    "class-lists",
    "class-days",
    "class-loss",
    "numbers-of",
];

/// Columns for which a profile can state a value.
const CONSTANT_COLUMNS: [Column; 4] = [Column::Affiliation, Column::Program, Column::Language, Column::QuotaClass];

impl SourceProfile {
    /// Reads the lines of a profile, in any order. Blank lines and those that begin with `#` are skipped. The error
    /// names the first wrong line.
    pub fn parse(name: &str, lines: &[String]) -> Result<Self, ProfileError> {
        let mut profile = Self::built_in(name);
        profile.version = Some(1);
        if lines.len() > PROFILE_LINES_MAX {
            return Err(wrong("", format!("more than {PROFILE_LINES_MAX} lines")));
        }
        let mut seen: Vec<&str> = Vec::new();
        for line in lines.iter().map(|line| line.trim()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, words) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            if line.len() > PROFILE_LINE_MAX {
                return Err(wrong(line, format!("longer than {PROFILE_LINE_MAX} octets")));
            }
            if SINGLE.contains(&key) && seen.contains(&key) {
                return Err(wrong(line, format!("a second line '{key}'")));
            }
            seen.push(key);
            profile.set(key, words.trim()).map_err(|rule| wrong(line, rule))?;
        }
        Ok(profile)
    }

    fn set(&mut self, key: &str, words: &str) -> Result<(), String> {
        match key {
            "version" => self.version = Some(words.parse().map_err(|_| "a whole number, raised at each change")?),
            "format" => self.format = one_of(&FORMATS, words)?,
            "encoding" => self.encoding = one_of(&ENCODINGS, words)?,
            "separator" => self.separator = Some(one_of(&SEPARATORS, words)?),
            "date-format" => self.date_format = Some(one_of(&DateFormat::NAMES, words)?),
            "coverage" => self.coverage = one_of(&COVERAGES, words)?,
            "trailer" if !words.is_empty() => self.trailer = Some(words.to_owned()),
            "row-count" if words == "required" => self.needs_row_count = true,
            "row-count" => return Err("the only form is: row-count required".to_owned()),
            "ignore" if !words.is_empty() => self.ignored.push(folded(words)),
            "trailer" | "ignore" => return Err(format!("expected: {key} WORDS")),
            "column" => {
                let (ours, theirs) = pair(words, "column COLUMN THEIR NAME")?;
                let (theirs, column) = (folded(theirs), column(ours)?);
                if self.columns.iter().any(|(known, other)| *known == theirs && *other != column) {
                    return Err("this name already stands for another column".to_owned());
                }
                self.columns.push((theirs, column));
            }
            "affiliation" => {
                let (ours, theirs) = pair(words, "affiliation AFFILIATION THEIR WORD")?;
                self.affiliations.push((folded(theirs), affiliation(ours)?));
            }
            "constant" => {
                let (ours, value) = pair(words, "constant COLUMN VALUE")?;
                let column = column(ours)?;
                if !CONSTANT_COLUMNS.contains(&column) {
                    return Err(format!("only for {}", names(&CONSTANT_COLUMNS)));
                }
                if column == Column::Affiliation {
                    affiliation(value)?;
                }
                self.constants.push((column, value.to_owned()));
            }
            "blank" => {
                let (ours, meaning) = pair(words, "blank COLUMN keep|clear|unknown")?;
                self.set_blank(column(ours)?, one_of(&BLANKS, meaning)?)?;
            }
            "number" => {
                let (what, value) = pair(words, "number length|characters|pattern|pad|check VALUE")?;
                self.set_number(what, value)?;
            }
            "precedence" => {
                let (rank, whom) = pair(words, "precedence RANK AFFILIATION[/PROGRAMME]")?;
                let rank = rank.parse().map_err(|_| "the rank is a whole number; the least one comes first")?;
                let (word, program) = whom.split_once('/').map_or((whom, None), |(word, of)| (word, Some(of)));
                let program = program.map(str::to_owned);
                self.precedence.push(Precedence { rank, affiliation: affiliation(word)?, program });
            }
            key if ClassGroups::KEYS.contains(&key) => self.classes.set(key, words)?,
            key if FollowedOrigin::KEYS.contains(&key) => self.followed.set(key, words)?,
            _ => {
                return Err(
                    "not one of version, format, encoding, separator, date-format, column, ignore, affiliation, \
                            constant, blank, trailer, row-count, number, coverage, precedence, class-lists, class-days, class-loss, class-column, numbers-of, server, base, filter, \
                            bind-dn, password-file, complete-read"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    fn set_blank(&mut self, column: Column, meaning: Blank) -> Result<(), String> {
        let of_any = [Column::PersonId, Column::GivenName, Column::FamilyName, Column::Affiliation, Column::Password];
        if meaning == Blank::Clear && (of_any.contains(&column) || column == Column::FormerPersonId) {
            return Err("this value cannot be removed".to_owned());
        }
        self.clearing.remove(column);
        self.unknown.remove(column);
        match meaning {
            Blank::Keep => {}
            Blank::Clear => self.clearing.insert(column),
            Blank::Unknown => self.unknown.insert(column),
        }
        Ok(())
    }

    fn set_number(&mut self, what: &str, value: &str) -> Result<(), String> {
        const LENGTH: &str = "a length is a number from 1 to 64, or two of them: 7-9";
        let length = |text: &str| text.trim().parse().ok().filter(|length| (1..=64).contains(length)).ok_or(LENGTH);
        let shape = &mut self.number;
        match what {
            "length" => {
                let (least, most) = value.split_once('-').unwrap_or((value, value));
                shape.length = Some((length(least)?, length(most)?)).filter(|(least, most)| least <= most);
                shape.length.ok_or(LENGTH)?;
            }
            "characters" => shape.characters = Some(one_of(&Characters::NAMES, value)?),
            "pattern" if value.chars().count() <= 64 => shape.pattern = Some(value.to_owned()),
            "pattern" => return Err(LENGTH.to_owned()),
            "pad" => shape.pad = Some(length(value)?),
            "check" => shape.check = Some(one_of(&CheckDigit::NAMES, value)?),
            _ => return Err("not one of length, characters, pattern, pad, check".to_owned()),
        }
        Ok(())
    }

    /// The lines of the profile, which [`SourceProfile::parse`] reads again.
    pub fn lines(&self) -> Vec<String> {
        let built_in = Self::built_in(&self.name);
        let mut lines = vec![
            format!("version {}", self.version.unwrap_or(0)),
            format!("format {}", name_of(&FORMATS, &self.format)),
            format!("encoding {}", name_of(&ENCODINGS, &self.encoding)),
            format!("coverage {}", name_of(&COVERAGES, &self.coverage)),
        ];
        lines.extend(self.separator.map(|separator| format!("separator {}", name_of(&SEPARATORS, &separator))));
        lines.extend(self.date_format.map(|form| format!("date-format {}", name_of(&DateFormat::NAMES, &form))));
        lines.extend(self.columns.iter().map(|(theirs, ours)| format!("column {ours} {theirs}")));
        lines.extend(self.ignored.iter().map(|theirs| format!("ignore {theirs}")));
        lines.extend(self.affiliations.iter().map(|(theirs, ours)| format!("affiliation {} {theirs}", ours.as_str())));
        lines.extend(self.constants.iter().map(|(column, value)| format!("constant {column} {value}")));
        let blank = |set: ColumnSet, name: &'static str| set.iter().map(move |column| format!("blank {column} {name}"));
        lines.extend(blank(self.clearing, "clear"));
        lines.extend(blank(self.unknown, "unknown"));
        let kept = built_in.clearing.iter().filter(|column| self.blank(*column) == Blank::Keep);
        lines.extend(kept.map(|column| format!("blank {column} keep")));
        lines.extend(self.trailer.iter().map(|word| format!("trailer {word}")));
        lines.extend(self.needs_row_count.then(|| "row-count required".to_owned()));
        self.number_lines(&mut lines);
        lines.extend(self.precedence.iter().map(|Precedence { rank, affiliation, program }| {
            let program = program.iter().map(|program| format!("/{program}")).collect::<String>();
            format!("precedence {rank} {}{program}", affiliation.as_str())
        }));
        lines.extend(self.classes.lines());
        lines.extend(self.followed.lines());
        lines
    }

    fn number_lines(&self, lines: &mut Vec<String>) {
        let shape = &self.number;
        lines.extend(shape.length.map(|(least, most)| format!("number length {least}-{most}")));
        lines.extend(shape.characters.map(|of| format!("number characters {}", name_of(&Characters::NAMES, &of))));
        lines.extend(shape.pattern.iter().map(|pattern| format!("number pattern {pattern}")));
        lines.extend(shape.pad.map(|digits| format!("number pad {digits}")));
        lines.extend(shape.check.map(|check| format!("number check {}", name_of(&CheckDigit::NAMES, &check))));
    }
}

impl Encoding {
    /// The encoding with a name, such as `latin-1`.
    pub fn parse(name: &str) -> Option<Self> {
        one_of(&ENCODINGS, name).ok()
    }

    /// Name of the encoding.
    pub fn as_str(self) -> &'static str {
        name_of(&ENCODINGS, &self)
    }
}

impl Coverage {
    /// `complete` or `partial`.
    pub fn as_str(self) -> &'static str {
        name_of(&COVERAGES, &self)
    }
}

fn wrong(line: &str, rule: String) -> ProfileError {
    const SHOWN_CHARS_MAX: usize = 80;
    ProfileError { line: line.chars().take(SHOWN_CHARS_MAX).collect(), rule }
}

fn pair<'a>(words: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    let (first, rest) = words.split_once(char::is_whitespace).ok_or_else(|| format!("expected: {form}"))?;
    Ok((first, rest.trim()))
}

fn column(name: &str) -> Result<Column, String> {
    Column::of_name(name).ok_or_else(|| format!("'{name}' is not one of {}", names(&Column::ALL)))
}

fn affiliation(word: &str) -> Result<Affiliation, String> {
    Affiliation::parse(word).ok_or_else(|| format!("'{word}' is not one of student, faculty, staff, alum"))
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
}

fn one_of<T: Copy>(all: &[(T, &str)], name: &str) -> Result<T, String> {
    let found = all.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(value, _)| *value);
    found.ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|(_, name)| *name).collect();
        format!("'{name}' is not one of {}", known.join(" "))
    })
}

fn name_of<T: PartialEq>(all: &[(T, &'static str)], value: &T) -> &'static str {
    all.iter().find(|(known, _)| known == value).map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Result<SourceProfile, ProfileError> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        SourceProfile::parse("hr", &lines)
    }

    #[test]
    fn a_profile_that_is_written_is_read_again() {
        let lines = [
            "version 7",
            "# a comment",
            "",
            "format csv",
            "encoding windows-1252",
            "separator ;",
            "date-format DD/MM/YYYY",
            "column person_id Matricule",
            "column person_id No étudiant",
            "ignore Téléphone",
            "affiliation student Étudiant régulier",
            "constant program Arts et lettres",
            "blank program keep",
            "blank private_email clear",
            "blank end_date unknown",
            "trailer FIN",
            "row-count required",
            "number length 7-9",
            "number characters digits",
            "number pattern 9999999",
            "number pad 7",
            "number check luhn",
            "coverage partial",
            "precedence 2 student",
            "precedence 1 student/PhD Physics",
            "server ldaps://one.example:1636",
            "server ldap://two.example starttls",
            "base ou=people,dc=example,dc=edu",
            "filter (&(objectClass=inetOrgPerson)(!(employeeType=guest)))",
            "bind-dn cn=reader,dc=example,dc=edu",
            "password-file hr.password",
            "complete-read 12",
        ];
        let profile = parse(&lines).unwrap();
        assert_eq!(profile.version, Some(7));
        assert_eq!(profile.column(" MATRICULE "), Some(Column::PersonId));
        assert_eq!(profile.column("no ÉTUDIANT"), Some(Column::PersonId));
        assert_eq!(profile.affiliation("étudiant RÉGULIER"), Some(Affiliation::Student));
        assert!(profile.is_ignored("téléphone") && profile.is_ignored("reject_rule"));
        assert_eq!(profile.blank(Column::Program), Blank::Keep);
        assert_eq!(profile.blank(Column::PrivateEmail), Blank::Clear);
        assert_eq!(profile.blank(Column::EndDate), Blank::Unknown);
        assert_eq!(profile.blank(Column::StartDate), Blank::Clear);
        let mut again = profile.lines();
        again.reverse();
        let again = SourceProfile::parse("hr", &again).unwrap();
        assert_eq!(
            {
                let mut lines = again.lines();
                lines.sort();
                lines
            },
            {
                let mut lines = profile.lines();
                lines.sort();
                lines
            }
        );
    }

    #[test]
    fn each_wrong_line_is_named_with_its_rule() {
        let long = format!("column person_id {}", "x".repeat(600));
        for (line, rule) in [
            ("colour red", "not one of version, format"),
            ("version one", "a whole number"),
            ("format xlsx", "csv oneroster ldif jsonl ldap"),
            ("encoding utf-7", "utf-8 windows-1252 latin-1 utf-16"),
            ("separator :", ", ; tab |"),
            ("date-format dd.mm", "YYYY-MM-DD"),
            ("column person_id", "expected: column COLUMN THEIR NAME"),
            ("column colour Farbe", "'colour' is not one of person_id"),
            ("affiliation visitor Gast", "student, faculty, staff, alum"),
            ("constant password secret word", "only for affiliation, program"),
            ("constant affiliation guest", "student, faculty, staff, alum"),
            ("blank person_id clear", "cannot be removed"),
            ("blank program never", "keep clear unknown"),
            ("row-count 12", "row-count required"),
            ("trailer", "expected: trailer WORDS"),
            ("number length 9-7", "a length is a number"),
            ("number length 0", "a length is a number"),
            ("number shape round", "length, characters"),
            ("coverage some", "complete partial"),
            ("server", "expected: server URL"),
            ("server http://a.example", "expected: server URL"),
            ("server ldap://a.example/dc=x", "expected: server URL"),
            ("server ldaps://a.example starttls", "for ldap:// only"),
            ("server ldap://a.example tls", "expected: server URL"),
            ("base people", "not a distinguished name"),
            ("filter objectClass=person", "not an RFC 4515 filter"),
            ("password-file ../secrets/api-token", "folder 'sources'"),
            ("password-file .hidden", "folder 'sources'"),
            ("complete-read 0", "from 1 to 672"),
            ("precedence first student", "the rank is a whole number"),
            (&long, "longer than 512 octets"),
        ] {
            let error = parse(&[line]).unwrap_err();
            assert!(error.rule.contains(rule) && line.starts_with(&error.line), "{line}: {error}");
        }
        assert!(parse(&["version 1", "version 2"]).unwrap_err().rule.contains("a second line"));
        assert!(parse(&["column program Fach", "column password FACH"]).unwrap_err().rule.contains("another column"));
    }
}
