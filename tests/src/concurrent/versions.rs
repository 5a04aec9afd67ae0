//! Files of one source that name everybody and differ in some rows, and files of classes of the same people.

use std::fmt::Write as _;

use super::{HEADER, name};

/// People of the first file; each round adds [`NEW`].
const FIRST: usize = 240;
const NEW: usize = 8;
/// Classes whose term goes on. One more class has a term that some versions end.
pub(super) const CLASSES: usize = 4;
const CLASS_HEADER: &str = "person_id,class,course,section,title,term,term_end,role\n";

/// Who made a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Two registrars who changed the file of the round before, each on their own.
    Left,
    Right,
    /// The file that puts both together.
    Merged,
}

/// The files of one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edition {
    pub(super) round: usize,
    pub(super) version: Version,
}

impl Edition {
    /// The numbers of the people in the order of the file, the first one in line 2.
    pub(super) fn numbers(self) -> Vec<usize> {
        let all = 0..FIRST + NEW * self.round;
        if self.version == Version::Right { all.rev().collect() } else { all.collect() }
    }

    /// The person's programme. Two versions of one round state the same one only where neither changed it.
    pub(super) fn program(self, number: usize) -> String {
        let round = self.round;
        match self.version {
            Version::Merged => format!("Arts{round}"),
            Version::Left if number % 3 != 1 => format!("Law{round}"),
            Version::Right if !number.is_multiple_of(3) => format!("Music{round}"),
            Version::Left | Version::Right => format!("Arts{}", round.saturating_sub(1)),
        }
    }

    /// Whether this version alone states the person's programme.
    pub(super) fn changes(self, number: usize) -> bool {
        !self.program(number).starts_with("Arts")
    }

    /// The file of people.
    pub(super) fn people(self) -> String {
        let mut text = HEADER.to_owned();
        for number in self.numbers() {
            let (given, family) = name(number);
            // One person gets another name from each version, and so another primary address.
            let family = if number == 3 { self.new_name() } else { family.to_owned() };
            // Some people have left, so that runs of the lifecycle have something to do.
            let end = if number % 100 == self.round { "2026-01-31" } else { "" };
            let program = self.program(number);
            let _ = writeln!(text, "{number},{given},{family},staff,{program},2020-01-01,{end}");
        }
        text
    }

    /// The file of classes of a source whose classes have ids that begin with `prefix`.
    pub(super) fn classes(self, prefix: &str) -> String {
        let mut text = CLASS_HEADER.to_owned();
        for class in 0..=CLASSES {
            let is_over = class == CLASSES && self.version == Version::Left;
            let end = if is_over { "2026-01-31" } else { "2037-12-31" };
            for number in self.members(class) {
                let role = if number % 7 == 0 { "teacher" } else { "student" };
                let _ = writeln!(text, "{number},{prefix}{class},PHY10{class},A,Mechanics,Fall 2037,{end},{role}");
            }
        }
        text
    }

    /// The numbers of those who take or teach a class.
    pub(super) fn members(self, class: usize) -> Vec<usize> {
        let shift = self.round + self.version as usize;
        self.numbers().into_iter().filter(|number| (number + shift) % (CLASSES + 1) == class).collect()
    }

    fn new_name(self) -> String {
        let letter = char::from(b'a' + u8::try_from(self.round).unwrap_or_default());
        format!("{:?}{letter}", self.version)
    }
}
