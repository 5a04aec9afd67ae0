//! Whether the lines of a profile fit together: a profile that cannot work is refused when it is written, and not at
//! the next import.

use std::collections::HashMap;

use provost_entry::AttributeDescription;

use super::{FileFormat, FollowedOrigin, ProfileError, SourceProfile};
use crate::column::Column;
use crate::record::Affiliation;

impl SourceProfile {
    /// Whether files can be read by this profile. The error names a line, or the first words of one, and the rule.
    ///
    /// [`SourceProfile::parse`] accepts more: a profile that an earlier version wrote stays readable.
    pub fn check(&self) -> Result<(), ProfileError> {
        self.check_format()?;
        self.check_names()?;
        self.check_affiliations()?;
        self.number.check_itself().map_err(|rule| wrong("number", rule))
    }

    /// Lines that the format cannot use.
    fn check_format(&self) -> Result<(), ProfileError> {
        let is_csv = matches!(self.format, FileFormat::Csv | FileFormat::Enrolments);
        if self.separator.is_some() && !is_csv {
            return Err(wrong("separator", "only files of the formats csv and enrolments have separators"));
        }
        if self.trailer.is_some() && !is_csv {
            return Err(wrong(
                "trailer",
                "only files of the formats csv and enrolments have a last line that states the number of rows",
            ));
        }
        if self.format != FileFormat::Enrolments && self.classes.is_of_files() {
            return Err(wrong("class-column", "class-column and numbers-of are for the format enrolments"));
        }
        if self.format == FileFormat::Ldap {
            return self.check_followed();
        }
        if self.followed != FollowedOrigin::default() {
            let rule = format!("{} are for the format ldap", FollowedOrigin::KEYS.join(", "));
            return Err(wrong("server", rule));
        }
        Ok(())
    }

    fn check_followed(&self) -> Result<(), ProfileError> {
        self.followed.check().map_err(|(line, rule)| wrong(line, rule))?;
        if self.needs_row_count {
            return Err(wrong("row-count required", "a directory states no number of rows"));
        }
        if self.encoding != super::Encoding::Utf8 {
            return Err(wrong("encoding", "the text of a directory is UTF-8 (RFC 4512)"));
        }
        for (theirs, column) in &self.columns {
            let line = format!("column {column} {theirs}");
            if *column == Column::Password {
                return Err(wrong(&line, "a directory holds no initial password, but a hash"));
            }
            if AttributeDescription::parse(theirs).is_err() {
                return Err(wrong(&line, "not the name of an attribute (RFC 4512 section 2.5)"));
            }
        }
        Ok(())
    }

    /// Names that stand for two things.
    fn check_names(&self) -> Result<(), ProfileError> {
        for (theirs, column) in &self.columns {
            if self.ignored.contains(theirs) {
                return Err(wrong(
                    &format!("ignore {theirs}"),
                    format!("this name also stands for the column {column}"),
                ));
            }
        }
        for (column, value) in &self.constants {
            if self.constants.iter().any(|(other, of_other)| other == column && of_other != value) {
                return Err(wrong(&format!("constant {column} {value}"), "a second value for this column"));
            }
            if *column == Column::Language && !["en", "fr"].contains(&value.as_str()) {
                return Err(wrong(&format!("constant {column} {value}"), "the language is en or fr"));
            }
        }
        Ok(())
    }

    fn check_affiliations(&self) -> Result<(), ProfileError> {
        let mut known: HashMap<&str, Affiliation> = HashMap::new();
        for (theirs, affiliation) in &self.affiliations {
            if known.insert(theirs, *affiliation).is_some_and(|other| other != *affiliation) {
                let line = format!("affiliation {} {theirs}", affiliation.as_str());
                return Err(wrong(&line, "this word already stands for another affiliation"));
            }
        }
        Ok(())
    }
}

fn wrong(line: &str, rule: impl Into<String>) -> ProfileError {
    ProfileError { line: line.to_owned(), rule: rule.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(lines: &str) -> String {
        let lines: Vec<String> = lines.split('|').map(|line| line.trim().to_owned()).collect();
        let profile = SourceProfile::parse("hr", &lines).unwrap_or_else(|error| panic!("{lines:?}: {error}"));
        profile.check().err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn a_profile_that_cannot_work_is_refused() {
        const LDAP: &str = "format ldap|server ldaps://a.example|base ou=people,dc=example";
        for (lines, rule) in [
            ("format csv|separator ;|trailer FIN|number length 7|number pad 7", ""),
            ("format jsonl|separator ;", "only files of the formats csv"),
            ("format ldif|trailer FIN", "only files of the formats csv"),
            ("format csv|numbers-of registrar", "are for the format enrolments"),
            ("format enrolments|numbers-of registrar|class-column class Groupe|trailer FIN", ""),
            ("format csv|server ldap://localhost", "are for the format ldap"),
            ("format ldap", "needs a line 'server URL'"),
            ("format ldap|server ldap://localhost", "needs a line 'base DN'"),
            (LDAP, ""),
            (&format!("{LDAP}|bind-dn cn=reader,dc=example"), "needs a line 'password-file NAME'"),
            (&format!("{LDAP}|password-file hr"), "needs a line 'bind-dn DN'"),
            (&format!("{LDAP}|bind-dn cn=reader,dc=example|password-file hr|complete-read 6"), ""),
            (&format!("{LDAP}|server ldap://b.example|bind-dn cn=r,dc=e|password-file hr"), "in the clear"),
            (&format!("{LDAP}|server ldap://b.example starttls|bind-dn cn=r,dc=e|password-file hr"), ""),
            (&format!("{LDAP}|server ldap://[::1]:389|server ldap://127.0.0.1|bind-dn cn=r,dc=e|password-file hr"), ""),
            (&format!("{LDAP}|row-count required"), "states no number of rows"),
            (&format!("{LDAP}|encoding latin-1"), "is UTF-8"),
            (&format!("{LDAP}|column person_id Matricule No"), "not the name of an attribute"),
            (&format!("{LDAP}|column password userPassword"), "a hash"),
            ("column person_id No|ignore no", "also stands for the column person_id"),
            ("constant program A|constant program B", "a second value"),
            ("constant language de", "en or fr"),
            ("affiliation student Gast|affiliation staff gast", "already stands for another affiliation"),
            ("number length 7|number pad 9", "can never"),
            ("number length 7|number pattern 99", "can never"),
            ("number characters letters|number check luhn", "can never"),
            ("number characters letters|number pad 7", "can never"),
            ("number characters digits|number pattern AA99", "can never"),
        ] {
            let found = fault(lines);
            assert!(found.contains(rule) && found.is_empty() == rule.is_empty(), "{lines}: '{found}'");
        }
    }
}
