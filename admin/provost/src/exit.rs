//! Exit codes, and the report of a failure.

use std::process::ExitCode;

use provost_api::{MessageSearchError, TokenError};
use provost_client::DirectoryError;
use provost_provision::{ApplyError, DeskError, FollowError};

use crate::output::printable;

/// Result of a command, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command succeeded, or there was nothing to do.
    Clean = 0,
    /// The command failed: an error, an interrupted import, a failed check of the doctor.
    Failed = 1,
    /// `--dry-run` found changes to make.
    ChangesPending = 2,
    /// The guard stopped a plan: nothing was changed, and the plan is kept for a second person.
    GuardTripped = 3,
    /// The command ran to its end, but rows were left out or not applied.
    RowsRejected = 4,
    /// The directory, a followed directory, or the audit or journal of its changes, is unavailable, or the outcome of a change is unknown.
    /// The command may be run again.
    DirectoryUnavailable = 5,
    /// The role of the user or token does not allow the operation.
    NotAllowed = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints the failure with its causes and advice, and returns the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // A cause can quote a server or a file, so remove control characters, but keep the lines of the message.
    let text = format!("{error:#}");
    let lines: Vec<String> = text.lines().map(printable).collect();
    err!("provost: {}", lines.join("\n"));
    if let Some(advice) = advice(error) {
        err!("       {advice}");
    }
    exit_of(error).into()
}

fn exit_of(error: &anyhow::Error) -> Exit {
    if error.chain().any(|cause| matches!(desk_error(cause), Some(DeskError::NotAllowed(_)))) {
        return Exit::NotAllowed;
    }
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(ApplyError::Guard(_)))) {
        return Exit::GuardTripped;
    }
    if is_unavailable(error) { Exit::DirectoryUnavailable } else { Exit::Failed }
}

fn is_unavailable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(DirectoryError::Unavailable(_) | DirectoryError::Unknown(_)))
            || matches!(
                desk_error(cause),
                Some(DeskError::Unavailable(_) | DeskError::AuditUnavailable(_) | DeskError::OutcomeUnknown(_))
            )
            || matches!(cause.downcast_ref(), Some(ApplyError::Unavailable(_)))
            || cause.downcast_ref().is_some_and(FollowError::is_unavailable)
    })
}

/// Returns the `DeskError` of a cause. `TokenError::Desk` and `MessageSearchError::Desk` are transparent, so the chain
/// skips the `DeskError` in them.
fn desk_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a DeskError> {
    match (cause.downcast_ref(), cause.downcast_ref(), cause.downcast_ref()) {
        (Some(error), _, _) => Some(error),
        (_, Some(TokenError::Desk(error)), _) => Some(error),
        (_, _, Some(MessageSearchError::Desk(error))) => Some(error),
        _ => None,
    }
}

/// Advice for the user who ran the command; `None` when there is none.
fn advice(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| match (cause.downcast_ref(), desk_error(cause)) {
        (Some(error), _) => directory_advice(error),
        (_, Some(error)) => desk_advice(error),
        // A full disk: the databases report it only as text.
        _ if cause.to_string().contains("disk is full") => Some(DISK_FULL),
        _ => None,
    })
}

/// Advice for an error of the directory; `None` when there is none.
pub(crate) fn directory_advice(error: &DirectoryError) -> Option<&'static str> {
    match error {
        DirectoryError::InvalidCredentials => Some(CREDENTIALS),
        DirectoryError::NoSuchObject(_) => Some(SUFFIX),
        DirectoryError::InsufficientAccess(_) => Some("see the access rules in docs/openldap.md"),
        DirectoryError::AssertionFailed => Some("another writer changed the entry; run the same command again"),
        DirectoryError::Unavailable(_) => Some("is the server running, and is directory.servers right?"),
        DirectoryError::Unknown(_) => Some(OUTCOME_UNKNOWN),
        // RFC 4511 §4.1.9: undefinedAttributeType, invalidAttributeSyntax, invalidDNSyntax, objectClassViolation.
        DirectoryError::Refused { code: 17 | 21 | 34 | 65, .. } => {
            Some("does the server have the schema of schema/ldif? 'provost doctor' checks it")
        }
        DirectoryError::AlreadyExists(_) | DirectoryError::Refused { .. } | DirectoryError::InvalidRequest(_) => None,
    }
}

const DISK_FULL: &str =
    "free at least 64 MiB in the data folder, then run the command again: messages and queue are unchanged";
const DIRECTORY_UNAVAILABLE: &str = "is a directory server running? 'provost doctor' checks it";
const AUDIT_UNAVAILABLE: &str =
    "the audit is in the data folder: does the folder have space, and is it writable? 'provost doctor' checks both";
const OUTCOME_UNKNOWN: &str = "the change may have been made; the same command may be run again";
const CREDENTIALS: &str = "directory.bind_dn or the password in directory.bind_password_file does not match the server";
const SUFFIX: &str = "is directory.suffix right? 'provost directory init' creates missing entries";

fn desk_advice(error: &DeskError) -> Option<&'static str> {
    match error {
        DeskError::NotFound(name) if name.is_empty() => Some(SUFFIX),
        DeskError::NotFound(_) => {
            Some("a person is named by login, address or number; see 'provost person search WORD'")
        }
        DeskError::UnknownSetting(_) | DeskError::NotStated(_) => Some("see 'provost settings show'"),
        DeskError::Ambiguous { .. } => Some(
            "name the person by one of these keys, by address or as registrar:NUMBER; see 'provost person search WORD'",
        ),
        DeskError::InUse(_) => Some(
            "an address has an owner (provost person show ADDRESS), or its local part is a login (provost person show LOGIN)",
        ),
        DeskError::Quarantined { .. } => {
            Some("during quarantine, only the former owner can get the address; see the setting address-quarantine")
        }
        DeskError::NotAllowed(_) => Some("what each role may do: provost roles show"),
        DeskError::Stale | DeskError::VersionMismatch(_) => directory_advice(&DirectoryError::AssertionFailed),
        DeskError::Refused(why) if *why == DirectoryError::InvalidCredentials.to_string() => Some(CREDENTIALS),
        DeskError::Unavailable(_) => Some(DIRECTORY_UNAVAILABLE),
        DeskError::AuditUnavailable(_) => Some(AUDIT_UNAVAILABLE),
        DeskError::OutcomeUnknown(_) => Some(OUTCOME_UNKNOWN),
        DeskError::Invalid { .. } | DeskError::Refused(_) | DeskError::OwnPlan(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_missing_permission_has_its_own_exit_code() {
        let refused = || DeskError::NotAllowed(provost_provision::Permission::ResetPassword);
        assert_eq!(exit_of(&refused().into()), Exit::NotAllowed);
        assert_eq!(exit_of(&TokenError::Desk(refused()).into()), Exit::NotAllowed);
        assert_eq!(exit_of(&MessageSearchError::Desk(refused()).into()), Exit::NotAllowed);
        assert_eq!(exit_of(&DeskError::Stale.into()), Exit::Failed);
        assert_eq!(exit_of(&DirectoryError::Unavailable(String::new()).into()), Exit::DirectoryUnavailable);
    }

    #[test]
    fn failures_say_what_to_do() {
        let down = || DirectoryError::Unavailable("refused".into());
        let refused = || DirectoryError::InvalidCredentials;
        let judge = |error: anyhow::Error| (is_unavailable(&error), advice(&error));
        for (error, unavailable, text) in [
            (down().into(), true, Some("running")),
            (Err::<(), _>(down()).context("stopped after 3").unwrap_err(), true, Some("running")),
            (DeskError::from(down()).into(), true, Some("running")),
            (TokenError::Desk(down().into()).into(), true, Some("running")),
            (MessageSearchError::Desk(down().into()).into(), true, Some("running")),
            (ApplyError::Unavailable("the journal cannot be written".into()).into(), true, None),
            (ApplyError::Refused("another directory".into()).into(), false, None),
            (DirectoryError::Unknown("lost".into()).into(), true, Some("again")),
            (DeskError::from(DirectoryError::Unknown("lost".into())).into(), true, Some("again")),
            (DeskError::AuditUnavailable("disk full".into()).into(), true, Some("audit")),
            (refused().into(), false, Some("bind_password_file")),
            (DeskError::from(refused()).into(), false, Some("bind_password_file")),
            (DirectoryError::Refused { code: 34, message: "invalid DN".into() }.into(), false, Some("schema")),
            (DirectoryError::NoSuchObject(String::new()).into(), false, Some("init")),
            (DeskError::NotFound(String::new()).into(), false, Some("init")),
            (DeskError::NotFound("zoe".into()).into(), false, Some("search")),
            (DeskError::Ambiguous { key: "Bo Li".into(), keys: Vec::new() }.into(), false, Some("address")),
            (DeskError::Stale.into(), false, Some("again")),
            (anyhow::anyhow!("else"), false, None),
        ] {
            let about = format!("{error:#}");
            let (is_unavailable, advice) = judge(error);
            assert_eq!((is_unavailable, advice.is_some()), (unavailable, text.is_some()), "{about}");
            assert!(advice.unwrap_or_default().contains(text.unwrap_or_default()), "{about}: {advice:?}");
        }
    }
}
