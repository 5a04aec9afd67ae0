//! The columns of a file. A new column is added here first.

use std::fmt;

/// A column that this program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// `person_id`, required: the source's key of the person.
    PersonId,
    /// `given_name`, required: part of login and address.
    GivenName,
    /// `family_name`, required: part of login and address.
    FamilyName,
    /// `birth_date`: the help desk verifies callers by it.
    BirthDate,
    /// `private_email`: an address outside the site.
    PrivateEmail,
    /// `affiliation`, required: eduPerson's word, such as `student`.
    Affiliation,
    /// `program`: programme of study.
    Program,
    /// `start_date`: first day of the affiliation.
    StartDate,
    /// `end_date`: last day of the affiliation.
    EndDate,
    /// `password`: initial password for a person who has none.
    Password,
    /// `former_person_id`: the number under which the person was known before.
    FormerPersonId,
    /// `preferred_given_name`: the name by which the person goes.
    PreferredGivenName,
    /// `language`: `en` or `fr`.
    Language,
    /// `quota_class`: where it is not that of the affiliation.
    QuotaClass,
    /// `quota_until`: last day of the quota class.
    QuotaUntil,
    /// `forward_to`: addresses to which mail is forwarded.
    ForwardTo,
    /// `forward_from`: first day of the forwarding.
    ForwardFrom,
    /// `forward_until`: last day of the forwarding.
    ForwardUntil,
    /// `vacation_start`: first day of the vacation.
    VacationStart,
    /// `vacation_end`: last day of the vacation.
    VacationEnd,
    /// `vacation_subject_fr`: subject of the reply, in French.
    VacationSubjectFr,
    /// `vacation_subject_en`: subject of the reply, in English.
    VacationSubjectEn,
    /// `vacation_text_fr`: text of the reply, in French.
    VacationTextFr,
    /// `vacation_text_en`: text of the reply, in English.
    VacationTextEn,
}

impl Column {
    /// Number of columns.
    pub const COUNT: usize = 24;

    /// All columns, in the order in which documentation lists them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::PersonId,
        Self::GivenName,
        Self::FamilyName,
        Self::BirthDate,
        Self::PrivateEmail,
        Self::Affiliation,
        Self::Program,
        Self::StartDate,
        Self::EndDate,
        Self::Password,
        Self::FormerPersonId,
        Self::PreferredGivenName,
        Self::Language,
        Self::QuotaClass,
        Self::QuotaUntil,
        Self::ForwardTo,
        Self::ForwardFrom,
        Self::ForwardUntil,
        Self::VacationStart,
        Self::VacationEnd,
        Self::VacationSubjectFr,
        Self::VacationSubjectEn,
        Self::VacationTextFr,
        Self::VacationTextEn,
    ];

    /// Columns that a file must have.
    pub const REQUIRED: [Self; 4] = [Self::PersonId, Self::GivenName, Self::FamilyName, Self::Affiliation];

    /// Name of the column in the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::PersonId => "person_id",
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::BirthDate => "birth_date",
            Self::PrivateEmail => "private_email",
            Self::Affiliation => "affiliation",
            Self::Program => "program",
            Self::StartDate => "start_date",
            Self::EndDate => "end_date",
            Self::Password => "password",
            Self::FormerPersonId => "former_person_id",
            Self::PreferredGivenName => "preferred_given_name",
            Self::Language => "language",
            Self::QuotaClass => "quota_class",
            Self::QuotaUntil => "quota_until",
            Self::ForwardTo => "forward_to",
            Self::ForwardFrom => "forward_from",
            Self::ForwardUntil => "forward_until",
            Self::VacationStart => "vacation_start",
            Self::VacationEnd => "vacation_end",
            Self::VacationSubjectFr => "vacation_subject_fr",
            Self::VacationSubjectEn => "vacation_subject_en",
            Self::VacationTextFr => "vacation_text_fr",
            Self::VacationTextEn => "vacation_text_en",
        }
    }

    /// Whether a file must have the column.
    pub fn is_required(self) -> bool {
        Self::REQUIRED.contains(&self)
    }

    /// The column called `name`, or `None`; case and surrounding blanks are ignored.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name().eq_ignore_ascii_case(name.trim()))
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnSet(u32);

impl ColumnSet {
    /// Whether the set has the column.
    pub fn contains(self, column: Column) -> bool {
        self.0 & Self::bit(column) != 0
    }

    /// Adds a column.
    pub fn insert(&mut self, column: Column) {
        self.0 |= Self::bit(column);
    }

    /// Removes a column.
    pub fn remove(&mut self, column: Column) {
        self.0 &= !Self::bit(column);
    }

    /// Whether the set has no column.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The columns of the set, in the order of [`Column::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Column> {
        Column::ALL.into_iter().filter(move |column| self.contains(*column))
    }

    fn bit(column: Column) -> u32 {
        const { assert!(Column::COUNT <= u32::BITS as usize) };
        1 << (column as u32)
    }
}

impl FromIterator<Column> for ColumnSet {
    fn from_iter<I: IntoIterator<Item = Column>>(columns: I) -> Self {
        let mut set = Self::default();
        columns.into_iter().for_each(|column| set.insert(column));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_its_place_and_name() {
        for (at, column) in Column::ALL.into_iter().enumerate() {
            assert_eq!((column as usize, Column::of_name(&column.name().to_uppercase())), (at, Some(column)));
        }
    }

    #[test]
    fn a_set_holds_what_was_inserted() {
        let mut set: ColumnSet = [Column::Program, Column::PersonId].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Column::PersonId, Column::Program]);
        set.remove(Column::Program);
        assert!(!set.contains(Column::Program) && set.contains(Column::PersonId) && !set.is_empty());
    }
}
