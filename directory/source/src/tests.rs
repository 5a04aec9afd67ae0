use proptest::prelude::*;

use super::*;

const HEADER: &str =
    "person_id,given_name,family_name,birth_date,private_email,affiliation,program,start_date,end_date,password\n";

fn read(text: &str) -> Result<Source, FileError> {
    read_source("registrar", text.as_bytes(), &CsvOptions::default())
}

fn with_rows(rows: &str) -> Source {
    read(&format!("{HEADER}{rows}")).unwrap()
}

fn problems(source: &Source) -> Vec<(u64, &str, &str)> {
    source.rejected.iter().map(|error| (error.line, error.column.as_str(), error.words.as_str())).collect()
}

const GOOD: &str = "1,Zoé,Tremblay,2004-02-29,zoe@example.net,student,B-INFO,2026-09-01,2030-04-30,long enough\n";

#[test]
fn a_good_row_becomes_a_record() {
    let source = with_rows(GOOD);
    assert!(source.rejected.is_empty());
    let row = &source.records[0];
    assert_eq!((row.line, &*row.person_id, &*row.given_name), (2, "1", "Zoé"));
    assert_eq!(row.birth_digits().as_deref(), Some("20040229"));
    assert_eq!(row.affiliation, Affiliation::Student);
    assert_eq!(row.password.as_ref().unwrap().reveal(), "long enough");
    assert!(!format!("{source:?}").contains("long enough"));
}

#[test]
fn variants_of_one_file_give_the_same_records() {
    let lf = format!("{HEADER}{GOOD}");
    let windows = |text: &str| encoding_rs::WINDOWS_1252.encode(text).0.into_owned();
    let cp1252 = CsvOptions { encoding: Encoding::Windows1252, separator: None };
    let default = CsvOptions::default();
    for (bytes, options, what) in [
        (lf.clone().into_bytes(), &default, "plain"),
        (format!("\u{FEFF}{lf}").into_bytes(), &default, "BOM"),
        (lf.replace('\n', "\r\n").into_bytes(), &default, "CRLF"),
        (lf.replace('\n', "\r").into_bytes(), &default, "CR"),
        (lf.replace(',', ";").into_bytes(), &default, "semicolon"),
        (lf.replace(',', "\t").into_bytes(), &default, "tab"),
        (format!("{lf},,,,,,,,,\n , ,,,,,,,,\n").into_bytes(), &default, "rows of blank cells"),
        (windows(&lf.replace(',', ";").replace('\n', "\r\n")), &cp1252, "Windows-1252"),
        (lf.replace("Zoé", "\"Zoe\u{301}\"").into_bytes(), &default, "NFD, quoted"),
        (lf.replace("Zoé", "  Zoé\u{A0}").into_bytes(), &default, "blanks around a name"),
        (lf.replace("given_name", " Given_Name ").into_bytes(), &default, "header with capitals and blanks"),
        (lf.replacen('\n', "\r\n", 1).into_bytes(), &default, "mixed line ends"),
        (format!("{lf}\n\r\n  \n").into_bytes(), &default, "blank lines at the end"),
        (lf.trim_end().as_bytes().to_vec(), &default, "no final line end"),
    ] {
        let source = read_source("registrar", &bytes, options).unwrap();
        assert_eq!(source.records, with_rows(GOOD).records, "{what}: {:?}", source.rejected);
    }
    let reordered = read("affiliation,family_name,given_name,person_id\nstaff,Roy,Ann,7\n").unwrap();
    assert_eq!((&*reordered.records[0].person_id, reordered.columns.len()), ("7", 4));
}

#[test]
fn blanks_in_names_become_single_spaces_and_quotation_marks_stay() {
    for (given, family, expect) in [
        ("Jean\u{A0}Luc", "De\u{202F}La\u{2009}Cruz", ("Jean Luc", "De La Cruz")),
        ("Ann   Marie", "\tRoy ", ("Ann Marie", "Roy")),
        ("\"Roy, Jr\"", "D\"Arcy", ("Roy, Jr", "D\"Arcy")),
        ("\"Ann \"\"A\"\" B\"", "’t Hooft", ("Ann \"A\" B", "’t Hooft")),
    ] {
        let source = with_rows(&format!("1,{given},{family},,,staff,,,,\n"));
        let row = source.records.first().expect("the row was left out");
        assert_eq!((&*row.given_name, &*row.family_name), expect);
    }
    let semicolons = "person_id;given_name;family_name;affiliation;program\n1;Ann;Roy, Sr;staff;A, B\n";
    assert_eq!(&*read(semicolons).unwrap().records[0].family_name, "Roy, Sr");
}

// Every kind of line end counts, so that the reported line is the one that the registrar sees.
#[test]
fn lines_are_counted_as_people_see_them() {
    for ends in ["\n", "\r\n", "\r"] {
        let file = format!("{HEADER}{GOOD}\n2,\"a\nb\",c,,,staff,,,,\n3,,x,,,staff,,,,\n").replace('\n', ends)
            + "4,d,,,,staff,,,,\n";
        let lines: Vec<u64> = read(&file).unwrap().rejected.iter().map(|error| error.line).collect();
        assert_eq!(lines, [4, 6, 7], "{ends:?}");
    }
}

#[test]
fn a_file_with_a_general_fault_is_refused_whole() {
    let header = |rule: &str| FileError::Header { line: 1, rule: rule.to_owned() };
    let not_utf8 = "not UTF-8; if a spreadsheet wrote the file, try --encoding windows-1252";
    let encoding = |line, rule: &str| FileError::Encoding { line, rule: rule.to_owned(), samples: Vec::new() };
    let sample = vec!["line 2, given_name, in windows-1252: Zoé".to_owned()];
    let full = format!("{HEADER}{GOOD}");
    let cut = |octets: usize| full.as_bytes()[..full.len() - octets].to_vec();
    for (bytes, expect) in [
        (b"".to_vec(), FileError::Empty),
        (b"\n \n".to_vec(), FileError::Empty),
        (HEADER.as_bytes().to_vec(), FileError::Empty),
        (
            GOOD.as_bytes().to_vec(),
            header("this is not a header; it needs at least person_id, given_name, family_name, affiliation"),
        ),
        (full.replace("family_name", "surname").into_bytes(), header("missing column family_name")),
        (full.replace("family_name", "given_name").into_bytes(), header("column given_name occurs twice")),
        (b"person_id,given_name\n1,a\n".to_vec(), header("missing column family_name, affiliation")),
        (
            b"sep=,\n\nperson_id,given_name\n1,a\n".to_vec(),
            FileError::Header { line: 3, rule: "missing column family_name, affiliation".to_owned() },
        ),
        (cut(20), FileError::Truncated(2)),
        (cut(7), FileError::Truncated(2)),
        (format!("{HEADER}{GOOD}2,\"Ann").into_bytes(), FileError::Unclosed(3)),
        (format!("{HEADER}{GOOD}2,\"Ann\n\n").into_bytes(), FileError::Unclosed(3)),
        (format!("{HEADER}{GOOD}2,\"Ann,Roy,,,staff,,,,\n{GOOD}").into_bytes(), FileError::Unclosed(3)),
        (format!("{HEADER}2,\"a\nb\",\"Roy,,,staff,,,,\n{GOOD}").into_bytes(), FileError::Unclosed(3)),
        (format!("{full}2").into_bytes(), FileError::Truncated(3)),
        (full.replace('é', &"\0".repeat(101)).into_bytes(), encoding(2, "a NUL octet: this is not a text file")),
        (
            encoding_rs::WINDOWS_1252.encode(&full).0.into_owned(),
            FileError::Encoding { line: 2, rule: not_utf8.to_owned(), samples: sample },
        ),
        (b"\xFF\xFEp\0".to_vec(), encoding(1, "the file is UTF-16; save it as UTF-8, or state --encoding utf-16")),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(read_source("registrar", &bytes, &CsvOptions::default()).unwrap_err(), expect, "{text}");
    }
    let options = CsvOptions { encoding: Encoding::Windows1252, separator: None };
    assert_eq!(
        read_source("registrar", format!("\u{FEFF}{full}").as_bytes(), &options).unwrap_err(),
        encoding(1, "the file is marked as UTF-8; omit --encoding, or change the source's profile")
    );
    let large = vec![b'a'; FILE_MIB_MAX as usize * 1024 * 1024 + 1];
    assert_eq!(
        read_source("registrar", &large, &CsvOptions::default()).unwrap_err(),
        FileError::TooLarge(FILE_MIB_MAX)
    );
}

#[test]
fn a_wrong_row_is_left_out_with_its_column_and_rule() {
    let long = "x".repeat(201);
    let octets = "x".repeat(5000);
    let damaged = "a replacement character (U+FFFD): the text was damaged by an earlier conversion";
    let mojibake = "UTF-8 that was read as Windows-1252 (like 'Ã©' for 'é') by an earlier conversion";
    let invisible = "an invisible character (text direction, zero width, byte order mark): type the field anew";
    for (row, column, rule) in [
        (",a,b,,,student,,,,".to_owned(), "person_id", "must not be empty"),
        ("1,a\u{202E}b,c,,,student,,,,".to_owned(), "given_name", invisible),
        ("1,a,\u{200F}c,,,student,,,,".to_owned(), "family_name", invisible),
        ("\u{FEFF}1,a,b,,,student,,,,".to_owned(), "person_id", invisible),
        ("1 2,a,b,,,student,,,,".to_owned(), "person_id", "a blank within the number"),
        (
            "1.1E+07,a,b,,,student,,,,".to_owned(),
            "person_id",
            "a number in exponent form (like 1.1E+07): a spreadsheet damaged it",
        ),
        (format!("{},a,b,,,student,,,,", &long[..65]), "person_id", "longer than 64 characters"),
        (
            "1\u{FFFD},a,b,,,student,,,,".to_owned(),
            "person_id",
            "a replacement character: the number was damaged before this import",
        ),
        ("1, ,b,,,student,,,,".to_owned(), "given_name", "must not be empty"),
        (format!("1,{long},b,,,student,,,,"), "given_name", "longer than 200 characters"),
        (format!("1,{octets},b,,,student,,,,"), "given_name", "longer than 4096 octets"),
        ("1,Zo\u{FFFD},b,,,student,,,,".to_owned(), "given_name", damaged),
        ("1,ZoÃ©,b,,,student,,,,".to_owned(), "given_name", mojibake),
        ("1,a,b\u{7}c,,,student,,,,".to_owned(), "family_name", "a control character within the field"),
        (
            "1,a,\"b\nc\",,,student,,,,".to_owned(),
            "family_name",
            "lines 2 to 3 are one row: a line break within the field (is a quotation mark missing?)",
        ),
        ("1,'Ann',b,,,student,,,,".to_owned(), "given_name", "quotation marks around the name"),
        ("1, \"Ann\",b,,,student,,,,".to_owned(), "given_name", "quotation marks around the name"),
        ("1,a,«b»,,,student,,,,".to_owned(), "family_name", "quotation marks around the name"),
        (
            "1,\u{301},b,,,student,,,,".to_owned(),
            "given_name",
            "only combining marks: the letters of the name were lost",
        ),
        ("1,\u{3164},b,,,student,,,,".to_owned(), "given_name", invisible),
        (
            "1,A\u{E000}nn,b,,,student,,,,".to_owned(),
            "given_name",
            "a character that is unassigned or private in Unicode: type the field anew",
        ),
        (
            "1,Zo&eacute;,b,,,student,,,,".to_owned(),
            "given_name",
            "an HTML entity (like &eacute;): the name was damaged before this import",
        ),
        (
            "1,#NAME?,b,,,student,,,,".to_owned(),
            "given_name",
            "an error value or a formula of a spreadsheet (like #NAME?)",
        ),
        (
            "1,\"Ann\"x,b,,,student,,,,".to_owned(),
            "given_name",
            "text after the closing quotation mark (within quotes, \" is written \"\")",
        ),
        (
            "1,\"Ann \"A\" B\",b,,,student,,,,".to_owned(),
            "given_name",
            "text after the closing quotation mark (within quotes, \" is written \"\")",
        ),
        ("1,Zed😀,b,,,student,,,,".to_owned(), "given_name", rule::SYMBOL.words),
        ("1,a,<b>Roy</b>,,,student,,,,".to_owned(), "family_name", rule::SYMBOL.words),
        ("1,O\\'Neil,b,,,student,,,,".to_owned(), "given_name", rule::SYMBOL.words),
        // The second letter is Cyrillic.
        ("1,Z\u{43e}é,b,,,student,,,,".to_owned(), "given_name", rule::MIXED_SCRIPTS.words),
        ("1,@SUM(1),b,,,student,,,,".to_owned(), "given_name", rule::SPREADSHEET_NAME.words),
        ("1,-2+3,b,,,student,,,,".to_owned(), "given_name", rule::SPREADSHEET_NAME.words),
        ("1,A\0nn,b,,,student,,,,".to_owned(), "given_name", rule::CONTROL.words),
        ("1,a,b,,,,,,,".to_owned(), "affiliation", "must not be empty"),
        ("1,a,b,,,visitor,,,,".to_owned(), "affiliation", "not one of student, faculty, staff, alum"),
        ("1,a,b,,,student".to_owned(), "program", "number of fields: 6 in the row, 10 in the header"),
        (
            "1,a,b,,,student,,,,long enough,x".to_owned(),
            "field 11",
            "number of fields: 11 in the row, 10 in the header",
        ),
    ] {
        let source = with_rows(&format!("{row}\n9,Ann,Roy,,,alum,,,,\n"));
        assert_eq!(problems(&source), [(2, column, rule)], "{row}");
        assert_eq!(source.records.len(), 1, "{row}");
        assert_eq!(source.rows_read, 2, "{row}");
    }
}

#[test]
fn a_wrong_optional_field_is_left_out_and_its_row_used() {
    let octets = "x".repeat(5000);
    let invisible = "an invisible character (text direction, zero width, byte order mark): type the field anew";
    for (row, column, rule) in [
        ("1,a,b,29/02/2004,,student,,,,".to_owned(), "birth_date", "not a date (YYYY-MM-DD)"),
        ("1,a,b,1204-01-01,,student,,,,".to_owned(), "birth_date", "a year before 1900"),
        ("1,a,b,,zoe at home,student,,,,".to_owned(), "private_email", "not a mail address (local@domain)"),
        ("1,a,b,,zoe@localhost,student,,,,".to_owned(), "private_email", "the domain of the address has no dot"),
        ("1,a,b,,,student,,2026-02-30,,".to_owned(), "start_date", "not a date (YYYY-MM-DD)"),
        ("1,a,b,,,student,,2026-02-02,2026-02-01,".to_owned(), "end_date", "the end is before the start"),
        ("1,a,b,,,student,,,,short".to_owned(), "password", "shorter than 8 characters"),
        ("1,a,b,,,student,x\u{2066}y,,,".to_owned(), "program", invisible),
        (
            // RFC 8265 §4.2.2: 514 octets in NFC.
            format!("1,a,b,,,student,,,,{}", "e\u{301}".repeat(257)),
            "password",
            "longer than 512 octets",
        ),
        (format!("1,a,b,,,student,,,,{}", &octets[..513]), "password", "longer than 512 octets"),
        ("1,a,b,,,student,,,,with\u{1}control".to_owned(), "password", "a control character within the password"),
    ] {
        let source = with_rows(&format!("{row}\n9,Ann,Roy,,,alum,,,,\n"));
        let warned: Vec<_> = source
            .warnings
            .iter()
            .map(|warning| (warning.line, warning.column.as_str(), warning.words.as_str()))
            .collect();
        assert_eq!(warned, [(2, column, rule)], "{row}");
        assert!(source.rejected.is_empty() && source.rejected_ids.is_empty(), "{row}");
        // The field that is left out clears nothing.
        let record = &source.records[0];
        assert!(Column::of_name(column).is_none_or(|column| !record.cleared.contains(column)), "{row}");
        assert!(record.end_date.is_none() && record.birth_date.is_none() && record.password.is_none(), "{row}");
        assert_eq!(source.records.len(), 2, "{row}");
    }
}

#[test]
fn an_unknown_column_is_ignored_and_named() {
    for (header, name) in [
        ("person_id,given_name,colour,family_name,affiliation", "colour"),
        ("person_id,given_name,,family_name,affiliation", "(without a name)"),
    ] {
        let source = read(&format!("{header}\n1,Ann,red,Roy,staff\n")).unwrap();
        let warned: Vec<_> =
            source.warnings.iter().map(|warning| (warning.column.as_str(), warning.rule.as_str())).collect();
        assert_eq!((warned, source.records.len()), (vec![(name, "header.unknown-column")], 1));
    }
}

#[test]
fn programme_rows_of_one_person_are_merged_by_precedence() {
    let rows = "1,Ann,Roy,,,student,Music,2024-09-01,2027-04-30,\n2,Bo,Li,,,staff,,,,\n\
                1,Ann,Roy,,,staff,Library,,,\n1,Ann,Roy,,,student,Arts,2026-09-01,2029-04-30,\n1,Ann,Roy,,,staff,Library,,,\n";
    let merged = |lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let profile = SourceProfile::parse("registrar", &lines).unwrap();
        let source = read_file(&profile, format!("{HEADER}{rows}").as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!((source.records.len(), source.repeated, source.rejected.len()), (2, 1, 0));
        assert_eq!(source.records[0].line, 2);
        source.records[0].affiliations().map(|row| row.program.unwrap().into_string()).collect::<Vec<_>>()
    };
    assert_eq!(merged(&[]), ["Library", "Arts", "Music"]);
    assert_eq!(merged(&["precedence 2 student", "precedence 1 student/Music"]), ["Music", "Arts", "Library"]);
    // Two rows of one programme contradict each other.
    let source = with_rows("1,Ann,Roy,,,student,Music,2024-09-01,,\n1,Ann,Roy,,,student,Music,2025-09-01,,\n");
    assert_eq!((source.records.len(), source.rejected.len(), source.rejected_ids.len()), (0, 2, 2));
}

#[test]
fn a_good_row_beside_a_wrong_one_of_the_same_person_is_held() {
    let source = with_rows("1,Ann,Roy,,,student,,,,\n2,Bo,Li,,,staff,,,,\n1,Ann,,,,staff,,,,\n");
    let found: Vec<_> = source.rejected.iter().map(|problem| (problem.line, problem.rule.as_str())).collect();
    assert_eq!(found, [(2, "row.other-row-wrong"), (4, "field.empty")]);
    assert_eq!((source.records.len(), source.unreadable), (1, 0));
}

#[test]
fn a_former_number_that_is_in_use_is_held() {
    let header = "person_id,former_person_id,given_name,family_name,affiliation\n";
    let source = read(&format!("{header}1,7,Ann,Roy,staff\n2,8,Bo,Li,staff\n8,,Cy,Ek,staff\n3,9,Di,Fo,staff\n4,9,Ed,Go,staff\n5,5,Ef,Ho,staff\n6,hr:8,Ef,Ho,staff\n"))
        .unwrap();
    let found: Vec<_> = source.rejected.iter().map(|problem| (problem.line, problem.rule.as_str())).collect();
    assert_eq!(found, [(3, "number.former-in-use"), (5, "number.former-twice"), (6, "number.former-twice")]);
    let former: Vec<_> = source.records.iter().map(|record| record.former_person_id()).collect();
    assert_eq!(former, [Some("7"), None, None, Some("hr:8")]);
}

#[test]
fn a_file_full_of_damage_is_refused_whole() {
    let rows =
        |count: usize, name: &str| (0..count).map(|id| format!("{id},{name},b,,,student,,,,\n")).collect::<String>();
    let good = |count: usize| (1000..1000 + count).map(|id| format!("{id},Ann,b,,,student,,,,\n")).collect::<String>();
    match read(&format!("{HEADER}{}{}", rows(6, "ZoÃ©"), good(40))).unwrap_err() {
        FileError::Damaged { rows: 6, of: 46, samples, .. } => {
            assert_eq!((samples.len(), samples[0].as_str()), (5, "line 2, given_name: ZoÃ©"));
        }
        other => panic!("{other}"),
    }
    assert_eq!(read(&format!("{HEADER}{}{}", rows(4, "ZoÃ©"), good(10))).unwrap().records.len(), 10);
    let numbers = (0..30).map(|id| format!("1.{id}E+07,Ann,b,,,student,,,,\n")).collect::<String>();
    assert!(matches!(
        read(&format!("{HEADER}{numbers}{}", good(10))),
        Err(FileError::Damaged { rows: 30, of: 40, .. })
    ));
    assert_eq!(read(&format!("{HEADER}{numbers}{}", good(40))).unwrap().records.len(), 40);
}

#[test]
fn a_stated_number_of_rows_is_compared() {
    let profile = |lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        SourceProfile::parse("registrar", &lines).unwrap()
    };
    let row = "1,Ann,Roy,,,staff,,,,\n";
    for (lines, end, rows, expect) in [
        (&["trailer END"][..], "END,1\n", None, None),
        (&["trailer END"], "END\n", None, None),
        (&["trailer END"], "END,2\n", None, Some("2 rows are stated, and the file has 1")),
        (&["trailer END"], "", None, Some("begins with 'END', is missing")),
        (&["trailer END"], "END,1\n2,Bo,Li,,,staff,,,,\n", None, Some("not the last line")),
        (&["row-count required"], "", None, Some("--rows")),
        (&["row-count required"], "", Some(1), None),
        (&["row-count required", "trailer END"], "END,1", None, None),
        (&[], "", Some(3), Some("3 rows are stated")),
    ] {
        let options = ReadOptions { rows, ..ReadOptions::default() };
        let read = read_file(&profile(lines), format!("{HEADER}{row}{end}").as_bytes(), &options);
        match expect {
            None => assert_eq!(read.unwrap().rows_read, 1, "{lines:?} {end}"),
            Some(text) => assert!(read.unwrap_err().to_string().contains(text), "{lines:?} {end}"),
        }
    }
}

#[test]
fn a_profile_maps_names_words_and_forms() {
    let lines = "version 3\nencoding latin-1\nseparator |\ndate-format DD/MM/YYYY\ncolumn person_id Matricule\n\
                 column given_name Prénom\ncolumn family_name Nom\ncolumn birth_date Né le\ncolumn end_date Fin\n\
                 ignore Téléphone\nconstant affiliation student\nnumber pad 6\nblank end_date unknown\ncoverage partial";
    let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    let profile = SourceProfile::parse("scolarite", &lines).unwrap();
    let text = "MATRICULE|Nom|Prénom|Né le|Téléphone|Fin\n77|L'Écuyer|Zoé|29/02/2004|5|\n";
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let source = read_file(&profile, &bytes, &ReadOptions::default()).unwrap();
    let record = &source.records[0];
    assert_eq!((&*record.person_id, &*record.family_name), ("000077", "L'Écuyer"));
    assert_eq!((record.birth_digits().as_deref(), record.affiliation), (Some("20040229"), Affiliation::Student));
    assert!(record.cleared.is_empty() && source.coverage == Coverage::Partial && source.profile == Some(3));
    assert_eq!(source.warnings.iter().map(|warning| warning.rule.as_str()).collect::<Vec<_>>(), ["field.blank"]);
}

#[test]
fn dated_attributes_become_fields() {
    let header = "person_id,given_name,family_name,affiliation,preferred_given_name,language,quota_class,quota_until,\
                  forward_to,forward_from,forward_until,vacation_start,vacation_end,vacation_subject_fr,vacation_text_en";
    let row = "1,Ann,Roy,staff,Nan,fr-CA,Large,2027-01-01,\"a@x.example; b@y.example\",2026-12-01,2026-12-31,\
               2026-12-20,2027-01-05,Absente,\"Away,\nback soon\"";
    let source = read(&format!("{header}\n{row}\n")).unwrap();
    assert!(source.warnings.is_empty() && source.rejected.is_empty(), "{source:?}");
    let more = source.records[0].more.as_ref().unwrap();
    assert_eq!(more.preferred_given_name.as_deref(), Some("Nan"));
    assert_eq!((more.language.as_deref(), more.quota_class.as_deref()), (Some("fr"), Some("large")));
    assert_eq!(more.forward_to.iter().map(|to| &**to).collect::<Vec<_>>(), ["a@x.example", "b@y.example"]);
    assert_eq!(more.vacation_text_en.as_deref(), Some("Away,\nback soon"));
    let wrong =
        "1,Ann,Roy,staff,#N/A,klingon,../x,x,nobody,2026-12-31,2026-12-01,2027-01-05,2026-12-20,A\u{FFFD},a\u{202E}b";
    let source = read(&format!("{header}\n{wrong}\n")).unwrap();
    let rules: Vec<_> = source.warnings.iter().map(|warning| warning.rule.as_str()).collect();
    assert_eq!(
        rules,
        [
            "name.spreadsheet",
            "language.unknown",
            "quota.class",
            "date.format",
            "mail.format",
            "text.replacement",
            "field.invisible",
            "date.order",
            "date.order"
        ]
    );
}

#[test]
fn undamaged_names_and_numbers_are_accepted() {
    for name in [
        "JOÃO",
        "IRMÃ Ã",
        "SANTÉ–TRAVAIL",
        "CAFÉ’S",
        "Ângela",
        "Łukasz",
        "Nguyễn Thị",
        "D’Œil",
        "Åse",
        "Ærø",
        "北京",
        "Ünal",
        "-",
        "'",
        "Ann & Bo",
        "O’Neil",
        "\u{1112}\u{1161}\u{11AB}",
        "葛\u{E0100}城",
        "Null",
    ] {
        let source = with_rows(&format!("1,{name},b,,,student,,,,\n"));
        assert!(source.rejected.is_empty(), "{name}: {:?}", source.rejected);
    }
    for id in ["00123", "12E345", "E+7", "TREM29020401", "1.2.3"] {
        assert!(with_rows(&format!("{id},a,b,,,student,,,,\n")).rejected.is_empty(), "{id}");
    }
}

#[test]
fn words_read_in_the_wrong_encoding_are_found_in_capitals_too() {
    for name in ["SANTÉ", "Ökonomie", "ŁÓDŹ", "Юрий", "трут", "Ελένη", "“Zoé”", "Zoé – Ann"] {
        let (damaged, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(name.as_bytes());
        let source = with_rows(&format!("1,a{damaged},b,,,student,,,,\n"));
        assert!(source.records.is_empty(), "{name} as {damaged} was accepted");
    }
}

// The last row has all its fields, so the file is not truncated. The problem names the misquoted field.
#[test]
fn a_misquoted_field_in_the_last_row_does_not_make_the_file_look_truncated() {
    let source = read("given_name,family_name,affiliation,person_id\nAnn,Roy,staff,\"7\"x").unwrap();
    let rule = "text after the closing quotation mark (within quotes, \" is written \"\")";
    assert_eq!(problems(&source), [(2, "person_id", rule)]);
    let source = read("given_name,family_name,affiliation,person_id\nAnn,\"Roy\"x,staff,7").unwrap();
    assert_eq!(problems(&source), [(2, "family_name", rule)]);
}

// A misplaced quotation mark can join several lines into one row. Every joined line that looks like a record has a
// problem of its own, so the registrar sees each person who was left out.
#[test]
fn lines_that_a_quotation_mark_swallowed_are_named() {
    let row = |id: u32, given: &str, family: &str| format!("{id},{given},{family},,,student,,,,\n");
    let one = "were read as one row: a quotation mark is misplaced";
    let part = "this line was read as part of line 3";
    for ends in ["\n", "\r\n", "\r"] {
        for (rows, expect, good) in [
            // Opened on line 3, closed on line 6.
            (
                [
                    row(1, "Ann", "Roy"),
                    row(11, "\"Ann", "Roy"),
                    row(2, "Bo", "Li"),
                    row(9, "Cy", "Cole"),
                    row(12, "Dan", "\"Dee"),
                    row(13, "Eve", "Ek"),
                ],
                vec![(3, one), (4, part), (5, part), (6, part)],
                2,
            ),
            // The resulting row has as many fields as the header.
            (
                [
                    row(1, "Ann", "Roy"),
                    row(11, "Ann", "\"Roy"),
                    row(2, "Bo", "Li\""),
                    row(9, "Cy", "Cole"),
                    row(12, "Dan", "Dee"),
                    row(13, "Eve", "Ek"),
                ],
                vec![(3, "a line break within the field"), (4, part)],
                4,
            ),
            // A quoted field with a comma, on one line only; the marks of the other lines are valid.
            (
                [
                    row(1, "Ann", "Roy"),
                    row(11, "\"Ann", "Roy\""),
                    row(2, "\"Bo\"", "Li"),
                    row(9, "C\"y", "\"\"\"Cole\""),
                    row(12, "Dan", "Dee"),
                    row(13, "Eve", "Ek"),
                ],
                vec![(3, "number of fields: 9 in the row, 10 in the header")],
                5,
            ),
        ] {
            let source = with_rows(&rows.concat().replace('\n', ends));
            let found: Vec<(u64, &str)> =
                source.rejected.iter().map(|error| (error.line, error.words.as_str())).collect();
            assert_eq!(found.len(), expect.len(), "{ends:?} {found:?}");
            assert!(
                found.iter().zip(&expect).all(|(found, expect)| found.0 == expect.0 && found.1.contains(expect.1)),
                "{ends:?} {found:?}"
            );
            assert_eq!((source.records.len(), source.rows_read), (good, 6), "{ends:?}");
        }
    }
}

/// A swallowed line that does not look like a record is in the line range of the row that contains it.
#[test]
fn a_row_of_several_lines_names_them_all() {
    let source = with_rows("1,Ann,\"Roy,,,student\n2,Bo\n3,Cy,Cole\",,,student,,,,\n4,Dan,Dee,,,student,,,,\n");
    let first = source.rejected.first().unwrap();
    assert!(first.line == 2 && first.words.starts_with("lines 2 to 4 "), "{first:?}");
    let source = with_rows("1,Ann,\"Roy,,,student\n2,Bo\n3\",Cy\n4,Dan,Dee,,,student,,,,\n");
    let first = source.rejected.first().unwrap();
    assert!(first.line == 2 && first.words.starts_with("lines 2 to 4 "), "{first:?}");
}

#[test]
fn a_first_line_that_states_the_separator_is_skipped() {
    for (separator, column) in [(";", ";"), (",", ","), ("\t", "\t")] {
        let file = format!("sep={separator}\n{HEADER}{GOOD}x{GOOD}").replace(',', column);
        let source = read(&file).unwrap();
        assert_eq!((source.records.len(), source.records[0].line), (2, 3), "{separator:?}");
    }
}

#[test]
fn every_problem_of_a_row_is_named_and_lines_are_physical() {
    for line_end in ["\n", "\r\n"] {
        let text = format!(
            "{HEADER}\n1,\"a\nb\",c,x,,student,,,,\n\n \n2,Ann,Roy,,,nobody,,,,\n3,Ann,Roy,,,staff,,,,\n4,\"Ann\",,,,staff,,,,"
        );
        let source = read(&text.replace('\n', line_end)).unwrap();
        let lines: Vec<(u64, &str)> = source.rejected.iter().map(|error| (error.line, error.column.as_str())).collect();
        assert_eq!(lines, [(3, "given_name"), (7, "affiliation"), (9, "family_name")]);
        assert_eq!((source.records[0].line, source.rows_read), (8, 4));
    }
}

#[test]
fn equal_rows_of_one_number_are_kept_once_and_different_ones_left_out() {
    let source = with_rows("7,Ann,Roy,,,staff,,,,\n8,Bo,Li,,,staff,,,,\n7,Ann,Roy,,,staff,,,,\n");
    assert_eq!((source.records.len(), source.repeated, source.rejected.len()), (2, 1, 0));
    let source = with_rows("a7,Ann,Roy,,,staff,,,,\n8,Bo,Li,,,staff,,,,\nA7,Anna,Roy,,,staff,,,,\n");
    assert_eq!(source.records.len(), 1);
    assert_eq!(
        problems(&source),
        [
            (2, "person_id", "this number is also on line 4, and the rows differ"),
            (4, "person_id", "this number is also on line 2, and the rows differ"),
        ]
    );
}

#[test]
fn no_rule_shows_a_password() {
    let source = with_rows("1,a,b,hunter2hunter2,hunter2hunter2,hunter2hunter2,,hunter2hunter2,,hunter2\n");
    assert!(!format!("{:?}", source.rejected).contains("hunter2"));
}

/// Rows of ten fields, some of them wrong, repeated or with a stray quotation mark or line break.
const ROWS: &str = "([0-9]{1,2},[a-zé\"\n]{0,4},[a-z;]{1,3},,,(student|staf),,,,\r?\n){1,9}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_octets_are_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), header: bool, windows: bool,
    ) {
        let mut file = if header { HEADER.as_bytes().to_vec() } else { Vec::new() };
        file.extend(bytes);
        let encoding = if windows { Encoding::Windows1252 } else { Encoding::Utf8 };
        let _ = read_source("registrar", &file, &CsvOptions { encoding, separator: None });
    }

    #[test]
    fn every_row_is_a_record_a_repeat_or_a_problem(rows in ROWS) {
        if let Ok(source) = read(&format!("{HEADER}{rows}")) {
            let mut lines: Vec<u64> = source.rejected.iter().map(|error| error.line).collect();
            lines.dedup();
            prop_assert_eq!(source.records.len() + source.repeated + lines.len(), source.rows_read);
        }
    }

    #[test]
    fn a_file_cut_anywhere_never_gives_a_false_row(octets in 1usize..60) {
        let full = format!("{HEADER}{GOOD}{}", GOOD.replacen('1', "2", 1));
        let mut at = full.len() - octets;
        while !full.is_char_boundary(at) { at -= 1; }
        match read(&full[..at]) {
            Err(FileError::Truncated(line) | FileError::Unclosed(line)) => prop_assert_eq!(line, 3),
            // A cut within the last field or its line end can leave a valid row, which the reader accepts.
            Ok(source) => prop_assert!(octets <= 1 + "long enough".len() && source.records.len() == 2),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

/// Numbers that the directory compares as equal contradict each other within one file, and both lines are named.
#[test]
fn numbers_that_compare_as_equal_contradict_each_other() {
    for (one, other) in [("123450", "１２３４５０"), ("é1", "e\u{301}1"), ("ABC9", "abc9"), ("Straße", "STRASSE")]
    {
        let source = with_rows(&format!("{one},Lola,Look,,,student,,,,\n{other},Lila,Look,,,student,,,,\n"));
        let rules: Vec<&str> = source.rejected.iter().map(|problem| problem.words.as_str()).collect();
        let on = |line| format!("this number is also on line {line}, and the rows differ");
        assert_eq!(rules, [on(3), on(2)], "{one} {other}");
    }
}

/// A field that is damaged or impossible is left out of a row that is otherwise used.
#[test]
fn births_in_the_future_and_formulas_are_left_out() {
    let today = Some(jiff::civil::date(2026, 11, 28));
    let rows = "1,Ann,Roy,2026-11-29,,staff,=1+1,,,\n2,Bo,Li,2026-11-28,,staff,Arts = Lettres,,,\n";
    let text = [HEADER, rows].concat();
    let options = ReadOptions { today, ..ReadOptions::default() };
    let source = read_file(&SourceProfile::built_in("registrar"), text.as_bytes(), &options).unwrap();
    let rules: Vec<_> = source.warnings.iter().map(|problem| (problem.line, problem.rule.as_str())).collect();
    assert_eq!(rules, [(2, "text.formula"), (2, "date.future")]);
    let [ann, bo] = source.records.as_slice() else { panic!("{source:?}") };
    assert!(ann.birth_date.is_none() && ann.program.is_none() && bo.birth_date.is_some() && bo.program.is_some());
}

/// Names of every kind stay as they are, but for what is not seen.
#[test]
fn unusual_names_are_accepted() {
    for name in ["Ali @ Abu", "Nur a/p Raj", "Ann (née Roy)", "O´Neil", "Tom & Jo", "-", "Mª José", "Ελένη"] {
        let source = with_rows(&format!("1,{name},Roy,,,staff,,,,\n"));
        assert_eq!(source.records.first().map(|record| &*record.given_name), Some(name), "{source:?}");
    }
    let source = with_rows("1,Soft\u{ad}hyphen,Roy,,,staff,,,,\n");
    assert_eq!(&*source.records[0].given_name, "Softhyphen");
}
