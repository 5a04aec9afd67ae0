//! All policies of a site, and the choice of one for a person and a moment.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::document::{PolicyDocument, PolicyError};
use crate::guard::{GUARD, GuardPolicy};
use crate::lifecycle::{BUILT_IN_LIFECYCLES, LIFECYCLE, LifecyclePolicy};
use crate::naming::{NAMING, NamingRules};

/// Maximum number of policies of a site.
const POLICIES_MAX: usize = 1000;

/// The policies of a site, checked. Where a site has no document of a kind for a person, the built-in ones hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySet {
    documents: Vec<PolicyDocument>,
    /// The lifecycle documents, read; by name.
    lifecycles: HashMap<String, LifecyclePolicy>,
    /// The naming documents, read; by name.
    namings: HashMap<String, NamingRules>,
    /// The guard documents, read; by name.
    guards: HashMap<String, GuardPolicy>,
}

/// Why policies cannot be used: no decision is made by half of the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicySetError {
    /// A document breaks a rule.
    #[error(transparent)]
    Document(#[from] PolicyError),
    /// Two documents have one name.
    #[error("two policies are named '{0}'")]
    Twice(String),
    /// The site has more than 1,000 policies.
    #[error("more than {POLICIES_MAX} policies")]
    TooMany,
}

impl PolicySet {
    /// Checks the documents of a site.
    pub fn new(documents: Vec<PolicyDocument>) -> Result<Self, PolicySetError> {
        if documents.len() > POLICIES_MAX {
            return Err(PolicySetError::TooMany);
        }
        let mut set = Self { documents: Vec::with_capacity(documents.len()), ..Self::default() };
        for document in documents.into_iter().chain(BUILT_IN_LIFECYCLES.iter().cloned()) {
            if set.documents.iter().any(|other| other.name == document.name) {
                return Err(PolicySetError::Twice(document.name));
            }
            match document.kind.as_str() {
                LIFECYCLE => drop(set.lifecycles.insert(document.name.clone(), LifecyclePolicy::of(&document)?)),
                NAMING => drop(set.namings.insert(document.name.clone(), NamingRules::of(&document)?)),
                GUARD => drop(set.guards.insert(document.name.clone(), GuardPolicy::of(&document)?)),
                _ => {}
            }
            set.documents.push(document);
        }
        Ok(set)
    }

    /// The policies of a site that states none.
    pub fn built_in() -> Self {
        // The built-in documents are good, as a test shows; an empty set would only mean that nobody's state changes.
        Self::new(Vec::new()).unwrap_or_default()
    }

    /// All documents, those of the site first.
    pub fn documents(&self) -> &[PolicyDocument] {
        &self.documents
    }

    /// The document of a name.
    pub fn named(&self, name: &str) -> Option<&PolicyDocument> {
        self.documents.iter().find(|document| document.name == name)
    }

    /// The lifecycle policy of a name.
    pub fn lifecycle(&self, name: &str) -> Option<&LifecyclePolicy> {
        self.lifecycles.get(name)
    }

    /// Whether the site states no lifecycle document.
    pub fn has_built_in_lifecycles_only(&self) -> bool {
        self.documents.iter().all(|document| document.kind != LIFECYCLE || is_built_in(document))
    }

    /// All naming rules that documents state, in no order.
    pub fn namings(&self) -> impl Iterator<Item = &NamingRules> {
        self.namings.values()
    }

    /// The naming rules that hold at a moment for a person with this affiliation and programme; `None` where no document
    /// states any, and the built-in ones hold.
    pub fn naming_in_force(&self, affiliation: &str, program: Option<&str>, at: Timestamp) -> Option<&NamingRules> {
        if self.namings.is_empty() {
            return None;
        }
        self.namings.get(&self.in_force(NAMING, affiliation, program, at)?.name)
    }

    /// The limits of the guard that hold at a moment: those of the latest document, else the built-in ones.
    pub fn guard_in_force(&self, at: Timestamp) -> GuardPolicy {
        let document = self.in_force(GUARD, "", None, at);
        document.and_then(|document| self.guards.get(&document.name)).cloned().unwrap_or_default()
    }

    /// The document of a kind that holds at a moment for a person with this affiliation and programme.
    ///
    /// Of several, the narrowest population counts: a programme before an affiliation before everybody. Of several
    /// versions for one population, the latest counts. A document of the site counts before a built-in one of any
    /// population.
    pub fn in_force(
        &self,
        kind: &str,
        affiliation: &str,
        program: Option<&str>,
        at: Timestamp,
    ) -> Option<&PolicyDocument> {
        let in_force = self.documents.iter().filter(|document| document.kind == kind && document.holds_at(at));
        let rank = |document: &&PolicyDocument| {
            let narrowness = narrowness(document, affiliation, program)?;
            Some((!is_built_in(document), narrowness, document.since))
        };
        in_force.filter(|document| rank(document).is_some()).max_by(|one, other| {
            // Of two equal ones, the name decides, so that the choice is the same on every node.
            rank(one).cmp(&rank(other)).then_with(|| one.name.cmp(&other.name))
        })
    }

    /// The lifecycle policy that holds at a moment for a person with this affiliation and programme.
    pub fn lifecycle_in_force(
        &self,
        affiliation: &str,
        program: Option<&str>,
        at: Timestamp,
    ) -> Option<&LifecyclePolicy> {
        self.lifecycle(&self.in_force(LIFECYCLE, affiliation, program, at)?.name)
    }
}

fn is_built_in(document: &PolicyDocument) -> bool {
    BUILT_IN_LIFECYCLES.iter().any(|built_in| built_in.name == document.name)
}

/// How narrow the population is to which the person belongs; `None` when the person belongs to none of them.
fn narrowness(document: &PolicyDocument, affiliation: &str, program: Option<&str>) -> Option<u8> {
    if document.populations.is_empty() {
        return Some(0);
    }
    let matching = document.populations.iter().filter(|population| population.includes(affiliation, program));
    matching.map(|population| if population.is_of_one_program() { 2 } else { 1 }).max()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn document(name: &str, text: &str) -> PolicyDocument {
        let text = format!("kind lifecycle\nphase 1 alumni forever\n{text}");
        PolicyDocument::parse(name, &text, &TimeZone::UTC).unwrap()
    }

    #[test]
    fn the_narrowest_population_and_then_the_latest_version_counts() {
        let set = PolicySet::new(vec![
            document("all", "since 2000-01-01"),
            document("students-2010", "population student\nsince 2010-01-01"),
            document("students-2020", "population student\nsince 2020-01-01"),
            document("music", "population student/Music\nsince 2015-01-01"),
        ])
        .unwrap();
        for (affiliation, program, at, name) in [
            ("student", None, "2012-01-01T00:00:00Z", "students-2010"),
            ("student", Some("History"), "2021-01-01T00:00:00Z", "students-2020"),
            ("Student", Some("MUSIC"), "2021-01-01T00:00:00Z", "music"),
            ("student", Some("Music"), "2014-12-31T23:59:59Z", "students-2010"),
            ("staff", None, "2021-01-01T00:00:00Z", "all"),
            ("student", None, "1999-01-01T00:00:00Z", "built-in-students-1"),
            ("faculty", None, "1999-01-01T00:00:00Z", "built-in-everybody-1"),
        ] {
            let found = set.lifecycle_in_force(affiliation, program, at.parse().unwrap()).unwrap();
            assert_eq!(found.name, name, "{affiliation} {program:?} {at}");
        }
    }

    #[test]
    fn one_bad_document_makes_the_set_unusable() {
        let twice = vec![document("a", ""), document("a", "population staff")];
        assert_eq!(PolicySet::new(twice), Err(PolicySetError::Twice("a".to_owned())));
        assert!(PolicySet::new(vec![document("a", "colour red")]).is_err());
        assert_eq!(PolicySet::built_in().documents().len(), 3);
    }
}
