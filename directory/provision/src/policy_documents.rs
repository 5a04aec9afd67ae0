//! Reads the site's policy documents.

use provost_client::{Directory, DirectoryError, LdapSearch, Scope};
use provost_entry::Filter;
use provost_policy::{PolicyDocument, PolicySet, PolicySetError};
use provost_schema::{attr, class, ou};

/// Why the policies of a site cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// The directory cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A policy breaks a rule. Nothing is decided by the others alone.
    #[error(transparent)]
    Policy(#[from] PolicySetError),
}

/// Reads all policies: from the writable provider, or from a replica while the provider does not answer.
pub async fn read_policies(directory: &Directory) -> Result<PolicySet, PoliciesError> {
    let search = LdapSearch {
        base: directory.suffix().child(attr::OU, ou::POLICIES),
        scope: Scope::One,
        filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_POLICY_ENTRY),
        attributes: vec!["*".to_owned()],
        limit: None,
    };
    let entries = match directory.search_newest(search).await {
        Ok((entries, _)) => entries,
        // The tree does not exist yet, so no policy is stated.
        Err(DirectoryError::NoSuchObject(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let documents: Result<Vec<PolicyDocument>, _> = entries.iter().map(PolicyDocument::of_entry).collect();
    Ok(PolicySet::new(documents.map_err(PolicySetError::from)?)?)
}
