//! Vacation, forwarding and quota class of files.

use super::*;
use crate::plan::dated::{SUBJECT_EN, SUBJECT_FR, TEXT_EN, TEXT_FR};
use crate::source::{ReadOptions, SourceProfile, read_file};

const PERSON: &str = "person_id,given_name,family_name,affiliation";
const VACATION: [&str; 7] = [
    attr::MAIL_AUTO_REPLY_MODE,
    attr::VACATION_START_DATE,
    attr::VACATION_END_DATE,
    SUBJECT_FR,
    SUBJECT_EN,
    TEXT_FR,
    TEXT_EN,
];
const FORWARDING: [&str; 3] = [attr::MAIL_FORWARDING_ADDRESS, attr::PROVOST_FORWARD_START, attr::PROVOST_FORWARD_END];
const QUOTA: [&str; 2] = [attr::PROVOST_QUOTA_CLASS, attr::PROVOST_QUOTA_UNTIL];

impl Model {
    /// Imports Zoe Roy with further columns and their cells, by a profile with the lines `profile`; a second import must
    /// change nothing. The plan goes through its file form.
    fn import_dated(&mut self, profile: &[&str], columns: &str, cells: &str) -> Plan {
        let lines: Vec<String> = profile.iter().map(|line| (*line).to_owned()).collect();
        let profile = SourceProfile::parse("registrar", &lines).unwrap();
        let text = format!("{PERSON},{columns}\n1,Zoe,Roy,student,{cells}\n");
        let read = || read_file(&profile, text.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(read().warnings, [], "{text}");
        let plan = Plan::from_bytes(&plan_of(read(), &self.actual()).unwrap().to_bytes()).unwrap();
        self.apply(&plan, usize::MAX);
        let again = plan_of(read(), &self.actual()).unwrap();
        assert!(again.is_empty(), "a second import writes again: {:?}", again.changes);
        plan
    }

    fn zoe(&mut self) -> &mut Entry {
        self.entries.values_mut().find(|entry| entry.has_class(class::PROVOST_ACCOUNT)).unwrap()
    }

    /// The first value of each attribute, separated by `|`.
    fn dated(&mut self, names: &[&str]) -> String {
        let entry = self.zoe();
        names.iter().map(|name| entry.first(name).unwrap_or("-")).collect::<Vec<_>>().join("|")
    }

    /// Sets values, as another program or a hand does.
    fn set(&mut self, values: &[(&'static str, &str)]) {
        let entry = self.zoe();
        for (name, value) in values {
            entry.set(of(name), vec![value.as_bytes().to_vec()]);
        }
    }
}

const COLUMNS: &str =
    "vacation_start,vacation_end,vacation_subject_fr,vacation_subject_en,vacation_text_fr,vacation_text_en";
const FULL: &str = "2030-07-01,2030-07-31,Absente,Away,\"Absente,\nà bientôt\",Out";
const HELD: &str = "reply|20300701040000Z|20300801035959Z|Absente|Away|Absente,\nà bientôt|Out";

#[test]
fn a_vacation_follows_the_file_by_the_rule_for_blank_cells() {
    const CLEAR: &str = "blank vacation_text_en clear";
    const CLEAR_BOTH: [&str; 2] = [CLEAR, "blank vacation_text_fr clear"];
    for (profile, columns, cells, expect) in [
        (&[][..], "vacation_text_en", "Gone", HELD.replace("|Out", "|Gone")),
        (&[], COLUMNS, ",,,,,", HELD.to_owned()),
        (&[], "program", "Arts", HELD.to_owned()),
        (&[CLEAR], COLUMNS, ",,,,,", HELD.replace("|Out", "|-")),
        (&["blank vacation_end clear"], COLUMNS, ",,,,,", HELD.replace("20300801035959Z", "-")),
        (&["blank vacation_subject_fr clear"], COLUMNS, ",,,,,", HELD.replace("|Absente|", "|-|")),
        (&CLEAR_BOTH, COLUMNS, "2030-08-01,,,Away,,", "-|-|-|-|-|-|-".to_owned()),
        // The held end would precede this start.
        (&[], "vacation_start", "2031-01-01", HELD.replace("20300701040000Z|20300801035959Z", "20310101050000Z|-")),
        (&[], "vacation_end", "2029-01-01", HELD.replace("20300701040000Z|20300801035959Z", "-|20290102045959Z")),
    ] {
        let mut model = Model::default();
        model.import_dated(&[], COLUMNS, FULL);
        assert_eq!(model.dated(&VACATION), HELD, "of a new person");
        model.import_dated(profile, columns, cells);
        assert_eq!(model.dated(&VACATION), expect, "{profile:?} {columns} {cells}");
    }
}

#[test]
fn a_vacation_without_a_text_is_none_and_its_values_name_their_columns() {
    let mut model = Model::default();
    model.import_dated(&[], "program", "");
    assert!(model.import_dated(&[], COLUMNS, "2030-07-01,,Absente,,,").is_empty(), "a reply without a text");
    // A rule that is off lends no text to the one of the file.
    model.set(&[(TEXT_FR, "d’autrefois")]);
    assert!(model.import_dated(&[], "vacation_start", "2030-07-01").is_empty());
    model.import_dated(&[], "vacation_text_en", "Out");
    assert_eq!(model.dated(&VACATION), "reply|-|-|-|-|-|Out");
    // A text without a language is English.
    model.set(&[(attr::MAIL_AUTO_REPLY_TEXT, "old"), (attr::PROVOST_VACATION_INTERVAL, "3")]);
    let plan = model.import_dated(&[], COLUMNS, FULL);
    assert_eq!(model.dated(&VACATION), HELD);
    assert_eq!(model.dated(&[attr::MAIL_AUTO_REPLY_TEXT, attr::PROVOST_VACATION_INTERVAL]), "-|3");
    let changes = plan.changes[0].writes.iter().flat_map(|write| &write.attributes);
    let rules: BTreeMap<&str, String> = changes.map(|change| (change.name.as_str(), change.rule.to_string())).collect();
    for (name, rule) in [
        (TEXT_FR, "column.vacation_text_fr"),
        (SUBJECT_EN, "column.vacation_subject_en"),
        (attr::VACATION_END_DATE, "column.vacation_end"),
        (attr::MAIL_AUTO_REPLY_TEXT, "blank.vacation_text_en"),
    ] {
        assert_eq!(rules.get(name).map(String::as_str), Some(rule), "{name}");
    }
    model.import_dated(&["blank vacation_text_fr clear", "blank vacation_text_en clear"], COLUMNS, ",,,,,");
    assert_eq!(model.dated(&[attr::MAIL_AUTO_REPLY_MODE, attr::PROVOST_VACATION_INTERVAL]), "-|-");
}

#[test]
fn a_forwarding_and_a_quota_class_follow_the_file_by_the_rule_for_blank_cells() {
    const ALL: &str = "quota_class,quota_until,forward_to,forward_from,forward_until";
    const HELD: &str = "zoe@example.net|20300101050000Z|20300201045959Z|research|20300201045959Z";
    let names: Vec<&str> = FORWARDING.into_iter().chain(QUOTA).collect();
    for (profile, columns, cells, expect) in [
        (&[][..], ALL, "small,2030-01-31,new@example.net,,", HELD.replace("zoe@", "new@").replace("research", "small")),
        (&[], ALL, ",,,,", HELD.to_owned()),
        (&[], "forward_until,quota_until", "2030-01-15,2030-01-15", HELD.replace("20300201", "20300116")),
        (&["blank forward_until clear"], ALL, ",,,,", HELD.replacen("20300201045959Z", "-", 1)),
        (&["blank quota_until clear"], ALL, ",,,,", HELD.replace("research|20300201045959Z", "research|-")),
        (&["blank forward_to clear"], ALL, ",,,2030-01-15,", "-|-|-|research|20300201045959Z".to_owned()),
        (&["blank quota_class clear"], ALL, ",2030-01-31,,,", HELD.replace("research|20300201045959Z", "-|-")),
        // The person's own address: mail would go in a circle.
        (&[], "forward_to", "zoe.roy@example.edu", "-|-|-|research|20300201045959Z".to_owned()),
    ] {
        let mut model = Model::default();
        model.import_dated(&[], ALL, "research,2030-01-31,zoe@example.net,2030-01-01,2030-01-31");
        assert_eq!(model.dated(&names), HELD, "of a new person");
        model.import_dated(profile, columns, cells);
        assert_eq!(model.dated(&names), expect, "{profile:?} {columns} {cells}");
    }
}

/// A value that a hand has set or cleared stays, until the hand gives it back.
#[test]
fn no_file_changes_what_a_hand_holds() {
    const ALL: &str = "quota_class,forward_to,vacation_text_fr,vacation_start";
    let hands = [
        "mailAutoReplyMode 19690101000000Z - web:zoe",
        "mailForwardingAddress 19690101000000Z - web:zoe",
        "provostQuotaClass 19690101000000Z - cli:helen",
    ];
    let names: Vec<&str> = VACATION.into_iter().chain(FORWARDING).chain(QUOTA).collect();
    let lines = ["blank vacation_text_fr clear", "blank forward_to clear", "blank quota_class clear"];
    for values in [
        &[(attr::MAIL_AUTO_REPLY_MODE, "reply"), (TEXT_FR, "Moi"), (attr::PROVOST_QUOTA_CLASS, "huge")][..],
        &[(attr::MAIL_FORWARDING_ADDRESS, "hand@example.net")],
        &[],
    ] {
        let mut model = Model::default();
        model.import_dated(&[], "program", "");
        model.set(values);
        let held = model.dated(&names);
        model.zoe().set(of(attr::PROVOST_ORIGIN), hands.map(|value| value.as_bytes().to_vec()).to_vec());
        for (profile, cells) in [(&[][..], "small,new@example.net,Fichier,2030-01-01"), (&lines, ",,,")] {
            assert!(model.import_dated(profile, ALL, cells).is_empty(), "the file overrides a hand: {cells}");
            assert_eq!(model.dated(&names), held);
        }
        model.zoe().set(of(attr::PROVOST_ORIGIN), Vec::new());
        model.import_dated(&[], ALL, "small,new@example.net,Fichier,2030-01-01");
        assert_ne!(model.dated(&names), held);
    }
}
