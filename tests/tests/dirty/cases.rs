//! The files. Every row of the table of hazards in the research on provisioning has one or more.

pub(crate) const HEADER: &str =
    "person_id,given_name,family_name,birth_date,private_email,affiliation,program,start_date,end_date,password\n";

/// The people whom the directory holds.
const BASE: [&str; 10] = [
    "0012345,Zoé,Gagné,2001-02-03,zoe@x.example,student,Arts,2024-09-01,2038-05-31,",
    "0012346,Jean-Luc,Bélanger,1999-12-31,jl@x.example,student,Génie,2024-09-01,2038-05-31,",
    "0012347,Ann,O'Neil,2000-02-29,ann@x.example,student,Law,2024-09-01,2038-05-31,",
    "0012348,Nguyễn,Thị Hoa,2002-07-14,hoa@x.example,student,Arts,2024-09-01,2038-05-31,",
    "0012349,Bo,Li,1980-01-01,bo@x.example,staff,Library,2010-01-01,,",
    "0012350,Max,Müller,1975-05-05,max@x.example,faculty,Physics,2005-01-01,,",
    "0012351,Ida,Roy,2001-11-11,ida@x.example,student,Arts,2024-09-01,2038-05-31,",
    "0012352,Ole,Berg,2003-03-03,ole@x.example,student,Chemistry,2024-09-01,2038-05-31,",
    "0012353,Una,Kern,1960-06-06,una@x.example,faculty,History,1995-01-01,,",
    "0012354,Lea,Noon,2004-04-04,lea@x.example,student,Math,2024-09-01,2038-05-31,",
];

/// A clean row, which goes through beside every problem.
const CLEAN: &str = "0012400,Nils,Clean,1990-01-01,nils@x.example,staff,Office,2020-01-01,,";

/// One file and what becomes of it.
#[derive(Default)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) octets: Vec<u8>,
    /// More arguments of the command.
    pub(crate) arguments: &'static [&'static str],
    /// Exit code: 0 done, 1 refused whole, 4 rows were left out.
    pub(crate) code: i32,
    /// What the output says.
    pub(crate) says: &'static [&'static str],
    /// Local parts of the addresses of those whom the file creates.
    pub(crate) creates: &'static [&'static str],
    /// Local parts of the addresses of those whom it renames.
    pub(crate) renames: &'static [&'static str],
}

pub(crate) fn base_file() -> String {
    file(&BASE)
}

fn file(rows: &[&str]) -> String {
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    [HEADER, &rows].concat()
}

/// The people of the directory, and more rows.
fn with(rows: &[&str]) -> String {
    file(&[&BASE, rows].concat())
}

/// A file that is refused whole.
fn refused(name: &'static str, octets: impl Into<Vec<u8>>, says: &'static [&'static str]) -> Case {
    Case { name, octets: octets.into(), code: 1, says, ..Case::default() }
}

/// A file of which rows are left out, and the clean row goes through.
fn left_out(name: &'static str, octets: impl Into<Vec<u8>>, says: &'static [&'static str]) -> Case {
    Case { name, octets: octets.into(), code: 4, says, creates: &["nils.clean"], ..Case::default() }
}

/// A file that is used whole, and the clean row goes through.
fn used(name: &'static str, octets: impl Into<Vec<u8>>, says: &'static [&'static str]) -> Case {
    Case { name, octets: octets.into(), says, creates: &["nils.clean"], ..Case::default() }
}

/// The accented letters of the base file as letters with combining marks (NFD).
fn decomposed(text: &str) -> String {
    [("é", "e\u{301}"), ("ü", "u\u{308}"), ("ễ", "e\u{302}\u{303}"), ("ị", "i\u{323}")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    [whole_files(), encodings(), spreadsheets(), duplicates(), identities(), cells(), shapes(), names(), dates()]
        .into_iter()
        .flatten()
        .collect()
}

/// Truncated, empty, and headers that drifted.
fn whole_files() -> Vec<Case> {
    let whole = base_file();
    let cut = whole.get(..whole.len() - 60).unwrap_or_default();
    let reordered = "program,tel,family_name,given_name,person_id,affiliation\nArts,5,Gagné,Zoé,0012345,student\n\
                     Office,6,Clean,Nils,0012400,staff\n";
    vec![
        refused("truncated.csv", cut, &["line 11", "[file.truncated]"]),
        refused("truncated-header.csv", &HEADER[..40], &["line 1: missing column affiliation", "[file.header]"]),
        refused("empty.csv", "", &["[file.empty]"]),
        refused("only-a-header.csv", HEADER, &["[file.empty]"]),
        refused("blank-lines.csv", "\n\n\n", &["[file.empty]"]),
        refused("renamed-key.csv", whole.replacen("person_id", "Matricule", 1), &["missing column person_id"]),
        refused("column-twice.csv", whole.replacen("family_name", "given_name", 1), &["given_name occurs twice"]),
        used("unknown-column.csv", reordered, &["line 1, column tel: warning", "[header.unknown-column]"]),
        used(
            "header-in-capitals.csv",
            with(&[CLEAN]).replacen("person_id,given_name", "PERSON_ID , Given_Name", 1),
            &[],
        ),
        refused("a-web-page.csv", "<!DOCTYPE html><html><body>Log in</body></html>\n", &["this is not a header"]),
        Case {
            arguments: &["--rows", "12"],
            ..refused(
                "too-few-rows.csv",
                whole.clone(),
                &["12 rows are stated, and the file has 10", "[file.row-count]"],
            )
        },
        left_out("a-sum-at-the-end.csv", with(&[CLEAN, "Total: 11 rows"]), &["line 13", "[csv.field-count]"]),
    ]
}

fn encodings() -> Vec<Case> {
    let as_latin1 = latin1(&base_file());
    let utf16: Vec<u8> =
        "\u{feff}".encode_utf16().chain(base_file().encode_utf16()).flat_map(u16::to_le_bytes).collect();
    vec![
        refused("latin-1.csv", as_latin1, &["line 2: not UTF-8", "[file.encoding]", "Zoé"]),
        refused("utf-16.csv", utf16, &["the file is UTF-16", "[file.encoding]"]),
        left_out(
            "mojibake.csv",
            with(&[CLEAN, "0012403,ZoÃ©,Roux,,,staff,,,,"]),
            &["line 13, column given_name", "[text.mojibake]"],
        ),
        left_out(
            "replacement.csv",
            with(&[CLEAN, "0012404,Zo\u{fffd},Roux,,,staff,,,,"]),
            &["line 13", "[text.replacement]"],
        ),
        used("byte-order-mark.csv", format!("\u{feff}{}", with(&[CLEAN])), &["10 unchanged"]),
        used("decomposed.csv", decomposed(&with(&[CLEAN])), &["10 unchanged"]),
        left_out(
            "nul.csv",
            with(&[CLEAN, "0012419,N\0il,Nul,,,staff,,,,"]),
            &["line 13, column given_name", "[field.control]"],
        ),
        refused("binary.csv", b"PK\x03\x04\0\0\0".repeat(20), &["NUL"]),
    ]
}

fn spreadsheets() -> Vec<Case> {
    let zeros = BASE.map(|row| row.trim_start_matches('0'));
    let rows = [&zeros[..], &[CLEAN]].concat();
    let damaged = [
        CLEAN,
        "1.24E+06,Ann,Expo,,,staff,,,,",
        "12 481,Bea,Blank,,,staff,,,,",
        "TRUE,Cy,Truth,,,staff,,,,",
        "12345.0,Zoé,Gagné,2001-02-03,zoe@x.example,student,Arts,,,",
        "#REF!,Dee,Error,,,staff,,,,",
    ];
    vec![
        left_out(
            "lost-zeros.csv",
            file(&rows),
            &["line 2", "line 11", "[number.zeros]", "probably zoe.gagne@example.edu"],
        ),
        left_out(
            "damaged-numbers.csv",
            file(&damaged),
            &[
                "[number.exponent]",
                "[number.blank]",
                "[number.truth-value]",
                "[number.fraction]",
                "[number.error-value]",
            ],
        ),
        used(
            "local-dates.csv",
            with(&[CLEAN]).replacen("2001-02-03", "03/02/2001", 1),
            &["line 2, column birth_date: warning", "[date.format]"],
        ),
        left_out(
            "formulas.csv",
            file(&[
                CLEAN,
                "0012427,=cmd|'/c calc'!A1,Roy,,,staff,,,,",
                "0012428,@SUM(1),Roy,,,staff,,,,",
                "=\"0012345\",Zoé,Gagné,,,student,,,,",
            ]),
            &["line 3", "line 4", "[name.spreadsheet]", "line 5, column person_id"],
        ),
        used("formula-as-programme.csv", file(&[CLEAN, &BASE[0].replace("Arts", "=1+1")]), &["[text.formula]"]),
    ]
}

fn duplicates() -> Vec<Case> {
    let twice = [&BASE[..], &[BASE[0], BASE[1], CLEAN, CLEAN]].concat();
    let zora = BASE[0].replace("Zoé", "Zora");
    let law = BASE[0].replace("Arts", "Law");
    vec![
        used("the-same-row-twice.csv", file(&twice), &["10 unchanged"]).with_unchanged(),
        left_out("different-rows.csv", with(&[&zora, CLEAN]), &["line 2", "line 12", "[row.conflict]"]),
        used("two-programmes.csv", with(&[&law, CLEAN]), &["update zoe.gagne@example.edu"]),
    ]
}

/// Who is who: two numbers, reused numbers, new names, new numbers.
fn identities() -> Vec<Case> {
    const FORMER: &str = "person_id,given_name,family_name,affiliation,birth_date,private_email,former_person_id\n";
    let former = |rows: &str| format!("{FORMER}{rows}0012400,Nils,Clean,staff,1990-01-01,nils@x.example,\n");
    let swapped = BASE.map(|row| {
        let mut fields: Vec<&str> = row.split(',').collect();
        fields.swap(1, 2);
        fields.join(",")
    });
    let swapped: Vec<&str> = swapped.iter().map(String::as_str).chain([CLEAN]).collect();
    vec![
        left_out(
            "two-numbers.csv",
            with(&[CLEAN, "0099999,ZOE,GAGNE,2001-02-03,ZOE@X.EXAMPLE,student,,,,"]),
            &["line 13", "[person.duplicate]"],
        ),
        left_out(
            "married-under-a-new-number.csv",
            with(&[CLEAN, "0099998,Zoé,Gagné-Roy,,zoe@x.example,student,,,,"]),
            &["[person.duplicate]"],
        ),
        Case {
            creates: &["nils.clean", "twin.same"],
            ..left_out(
                "two-numbers-in-one-file.csv",
                file(&[
                    CLEAN,
                    "0099901,Twin,Same,2001-02-03,tw@x.example,student,,,,",
                    "0099902,Twin,Same,2001-02-03,tw@x.example,student,,,,",
                ]),
                &["line 4", "the person of line 3", "[person.duplicate]"],
            )
        },
        left_out(
            "a-reused-number.csv",
            with(&[CLEAN]).replacen("Zoé,Gagné,2001-02-03,zoe", "Karl,Marx,1970-05-05,karl", 1),
            &["line 2", "[number.reassigned]"],
        ),
        Case {
            renames: &["ida.falk"],
            ..used(
                "a-new-name.csv",
                with(&[CLEAN]).replacen("Ida,Roy", "Ida,Falk", 1),
                &["rename ida.roy@example.edu -> ida.falk@example.edu", "login: stays"],
            )
        },
        left_out("interchanged-names.csv", file(&swapped), &["line 2", "line 11", "[name.swapped]"]),
        used(
            "a-new-number.csv",
            former("0088888,Ole,Berg,student,2003-03-03,ole@x.example,0012352\n"),
            &["number: 0012352 -> 0088888"],
        ),
        left_out(
            "a-new-number-beside-the-old.csv",
            former(
                "0088889,Lea,Noon,student,2004-04-04,lea@x.example,0012354\n0012354,Lea,Noon,student,2004-04-04,lea@x.example,\n",
            ),
            &["line 2", "[number.former-in-use]"],
        ),
        left_out(
            "numbers-in-a-circle.csv",
            former(
                "0012353,Una,Kern,faculty,1960-06-06,una@x.example,0012350\n0012350,Max,Müller,faculty,1975-05-05,max@x.example,0012353\n",
            ),
            &["line 2", "line 3", "[number.former-in-use]"],
        ),
        left_out(
            "look-alikes.csv",
            file(&[
                CLEAN,
                "0099905,Z\u{43e}é,Gagné,2001-02-03,,student,,,,",
                "00l2345,Zoé,Gagné,2001-02-03,zoe@x.example,student,,,,",
            ]),
            &["line 3, column given_name", "[name.mixed-scripts]", "line 4, column person_id", "[person.duplicate]"],
        ),
    ]
}

fn cells() -> Vec<Case> {
    let huge = format!("0012424,{},Big,,,staff,,,,", "x".repeat(1_000_000));
    let secret = format!("0012425,Pat,Long,,,staff,,,,{}", "p".repeat(5000));
    let site = CLEAN.replace("nils@x.example", "a@b@c");
    let blank = BASE.map(|row| {
        row.split(',')
            .enumerate()
            .map(|(place, cell)| if place == 3 || place == 4 { "" } else { cell })
            .collect::<Vec<_>>()
            .join(",")
    });
    let blank: Vec<&str> = blank.iter().map(String::as_str).chain([CLEAN]).collect();
    vec![
        used("blank-cells-keep.csv", file(&blank), &["10 unchanged"]),
        left_out(
            "blank-needed-cells.csv",
            file(&[
                CLEAN,
                &BASE[0].replace("Zoé", ""),
                &BASE[1].replace("0012346", " "),
                &BASE[2].replace("student", ""),
            ]),
            &["line 3, column given_name", "line 4, column person_id", "line 5, column affiliation", "[field.empty]"],
        ),
        left_out("a-megabyte.csv", with(&[CLEAN, &huge]), &["line 13, column given_name", "[field.too-long]"]),
        Case {
            creates: &["nils.clean", "pat.long"],
            ..used(
                "a-long-password.csv",
                file(&[CLEAN, &secret]),
                &["line 3, column password: warning", "[password.long]"],
            )
        },
        used("not-an-address.csv", with(&[&site]), &["line 12, column private_email: warning", "[mail.format]"]),
        used(
            "address-in-capitals.csv",
            with(&[CLEAN]).replacen("zoe@x.example", "ZOE@X.EXAMPLE", 1),
            &["10 unchanged"],
        ),
        left_out(
            "unknown-affiliation.csv",
            with(&[CLEAN, "0012460,Guy,Guest,,,guest,,,,"]),
            &["line 13, column affiliation", "[affiliation.unknown]"],
        ),
    ]
}

/// Separators, line ends, quotation marks and columns.
fn shapes() -> Vec<Case> {
    let columns: String = (0..300).map(|place| format!(",c{place}")).collect();
    let wide = with(&[CLEAN])
        .lines()
        .enumerate()
        .map(|(line, row)| if line == 0 { format!("{row}{columns}\n") } else { format!("{row}{}\n", ",".repeat(300)) })
        .collect::<String>();
    let ragged = with(&[CLEAN]).replacen("2024-09-01,2038-05-31,\n", "2024-09-01\n", 1).replacen(
        "Law,2024-09-01,2038-05-31,",
        "Law,2024-09-01,2038-05-31,,more,and more",
        1,
    );
    vec![
        left_out("ragged.csv", ragged, &["line 2", "line 4, column field 11", "[csv.field-count]"]),
        used("quoted.csv", with(&[CLEAN]).replacen("Arts", "\"Arts\"", 1), &["10 unchanged"]),
        left_out(
            "a-line-break.csv",
            with(&["0012414,\"New\nLine\",Roy,,,staff,,,,", CLEAN]),
            &["line 12, column given_name", "[csv.line-break]"],
        ),
        refused(
            "an-open-quotation-mark.csv",
            with(&["0012417,\"Open,Roy,,,staff,,,,", CLEAN]),
            &["line 12: a quotation mark opens here", "[file.quote]"],
        ),
        Case {
            creates: &[],
            ..left_out(
                "a-swallowed-line.csv",
                file(&["0012468,\"Nils,Swal,,,staff,,,,", "0012469,Ni\"ls,Swalb,,,staff,,,,"]),
                &["line 2", "line 3", "[csv.swallowed-line]"],
            )
        },
        used("only-carriage-returns.csv", with(&[CLEAN]).replace('\n', "\r"), &["10 unchanged"]),
        used("mixed-line-ends.csv", with(&[CLEAN]).replacen('\n', "\r\n", 3), &["10 unchanged"]),
        used("semicolons.csv", with(&[CLEAN]).replace(',', ";"), &["10 unchanged"]),
        used("tabs.csv", with(&[CLEAN]).replace(',', "\t"), &["10 unchanged"]),
        used("three-hundred-columns.csv", wide, &["column c0: warning", "[header.unknown-column]", "10 unchanged"]),
    ]
}

fn names() -> Vec<Case> {
    vec![
        left_out(
            "invisible.csv",
            file(&[
                CLEAN,
                "0012433,Zo\u{200b}e,Roux,,,staff,,,,",
                "0012434,\u{202e}eoZ,Roux,,,staff,,,,",
                "\u{200b}0012345,Zoé,Gagné,2001-02-03,,student,,,,",
            ]),
            &["line 3", "line 4", "line 5, column person_id", "[field.invisible]"],
        ),
        left_out(
            "emoji.csv",
            file(&[CLEAN, "0012438,\u{1f600},Roux,,,staff,,,,", "0012439,Zed\u{1f600},Roux,,,staff,,,,"]),
            &["line 3", "line 4", "[name.symbol]"],
        ),
        left_out(
            "markup.csv",
            file(&[
                CLEAN,
                "0012455,<b>Bob</b>,Roux,,,staff,,,,",
                "0012456,O&apos;Neil,Roux,,,staff,,,,",
                "0012458,*)(uid=*,Roux,,,staff,,,,",
            ]),
            &["line 3", "[name.symbol]", "line 4", "[name.entity]", "line 5"],
        ),
        left_out(
            "long-names.csv",
            file(&[CLEAN, &format!("0012466,{},Roux,,,staff,,,,", "Long".repeat(60))]),
            &["line 3, column given_name", "[text.too-long]"],
        ),
        Case {
            creates: &["nils.clean", "mhmd.ly"],
            ..used("right-to-left.csv", file(&[CLEAN, "0012436,محمد,علي,,,staff,,,,"]), &[])
        },
    ]
}

fn dates() -> Vec<Case> {
    let born = |day: &str| with(&[CLEAN]).replacen("1980-01-01", day, 1);
    let mut cases: Vec<Case> = [
        ("31-june.csv", "1980-06-31"),
        ("no-leap-day.csv", "2001-02-29"),
        ("two-digit-year.csv", "01-02-80"),
        ("zeros.csv", "0000-00-00"),
        ("day-number.csv", "29221"),
        ("leap-day-of-1900.csv", "1900-02-29"),
    ]
    .into_iter()
    .map(|(name, day)| used(name, born(day), &["line 6, column birth_date: warning", "[date.format]", "10 unchanged"]))
    .collect();
    cases.extend([
        used(
            "born-tomorrow.csv",
            born("2090-01-01"),
            &["line 6, column birth_date: warning", "[date.future]", "10 unchanged"],
        ),
        used(
            "end-before-start.csv",
            with(&[CLEAN]).replacen("2024-09-01,2038-05-31", "2024-09-01,2023-05-31", 1),
            &["line 2, column end_date: warning", "[date.order]", "10 unchanged"],
        ),
        used(
            "start-in-the-future.csv",
            with(&[CLEAN]).replacen("2024-09-01,2038", "2031-09-01,2038", 1),
            &["10 unchanged"],
        ),
        used("half-of-the-people.csv", file(&[&BASE[..5], &[CLEAN]].concat()), &["5 unchanged"]),
    ]);
    cases
}

impl Case {
    /// Repeated rows count as unchanged, too.
    fn with_unchanged(self) -> Self {
        Self { says: &["1 to create, 0 to update"], ..self }
    }
}
