//! The meaning of LDAP result codes for the caller.

use ldap3::LdapResult;

use crate::DirectoryError;

/// Longest diagnostic message kept, characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// Why an operation at one server did not succeed.
#[derive(Debug, Clone)]
pub(crate) enum OperationFailure {
    /// The server's answer is final: the caller gets this error, and no other server is asked.
    Decided(DirectoryError),
    /// Referral (10), unavailable (52) or unwillingToPerform (53), or a bind that was refused for another reason than
    /// the password: another server is asked.
    Topology(DirectoryError),
    /// This client cannot encode the request, so nothing was sent: the caller gets this error, and no other server is
    /// asked.
    NotSent(DirectoryError),
    /// This client sent nothing, because too many operations are running or the server has failed recently. The circuit
    /// breaker counts this neither as success nor as failure.
    NotAsked(&'static str),
    /// Certainly without effect: the server could not be reached, has no contextCSN, or reports that the operation was
    /// not done (timeLimitExceeded, busy, other).
    Undone(String),
    /// The connection broke, or the response could not be read: a write may have been done.
    Lost(String),
    /// No response in time: a write may have been done.
    TimedOut,
}

impl OperationFailure {
    /// Returns the error for the caller of a read, whose outcome need not be known: the read can be repeated.
    pub(crate) fn of_read(self, url: &str) -> DirectoryError {
        match self {
            Self::Decided(error) | Self::NotSent(error) | Self::Topology(error) => error,
            Self::NotAsked(reason) => DirectoryError::Unavailable(format!("{url}: {reason}")),
            Self::Undone(reason) | Self::Lost(reason) => DirectoryError::Unavailable(format!("{url}: {reason}")),
            Self::TimedOut => DirectoryError::Unavailable(format!("{url}: timed out")),
        }
    }

    /// Returns the error for the caller of a write.
    pub(crate) fn of_write(self, url: &str) -> DirectoryError {
        match self {
            Self::Lost(reason) => DirectoryError::Unknown(format!("{url}: {reason}")),
            Self::TimedOut => DirectoryError::Unknown(format!("{url}: timed out")),
            other => other.of_read(url),
        }
    }
}

/// Judges the result of any operation but a bind (RFC 4511 appendix A).
pub(crate) fn judge(result: &LdapResult) -> Result<(), OperationFailure> {
    let message = || result.text.chars().take(MESSAGE_CHARS_MAX).collect::<String>();
    let refused = || DirectoryError::Refused { code: result.rc, message: message() };
    Err(match result.rc {
        0 => return Ok(()),
        // referral, unavailable
        10 | 52 => {
            OperationFailure::Topology(DirectoryError::Unavailable(format!("result {}: {}", result.rc, message())))
        }
        // unwillingToPerform
        53 => OperationFailure::Topology(refused()),
        // timeLimitExceeded, busy, other
        3 | 51 | 80 => OperationFailure::Undone(format!("result {}: {}", result.rc, message())),
        // noSuchObject
        32 => OperationFailure::Decided(DirectoryError::NoSuchObject(message())),
        // inappropriateAuthentication, invalidCredentials
        48 | 49 => OperationFailure::Decided(DirectoryError::InvalidCredentials),
        // insufficientAccessRights
        50 => OperationFailure::Decided(DirectoryError::InsufficientAccess(message())),
        // entryAlreadyExists
        68 => OperationFailure::Decided(DirectoryError::AlreadyExists(message())),
        // assertionFailed (RFC 4528)
        122 => OperationFailure::Decided(DirectoryError::AssertionFailed),
        _ => OperationFailure::Decided(refused()),
    })
}

/// Judges the result of a bind. Only invalidCredentials (49) and inappropriateAuthentication (48, no password to
/// compare) refuse the password. After any other failure another server is asked.
pub(crate) fn judge_bind(result: &LdapResult) -> Result<(), OperationFailure> {
    match judge(result) {
        Err(OperationFailure::Decided(DirectoryError::InvalidCredentials)) => {
            Err(OperationFailure::Decided(DirectoryError::InvalidCredentials))
        }
        Err(OperationFailure::Decided(error) | OperationFailure::Topology(error)) => {
            Err(OperationFailure::Topology(DirectoryError::Unavailable(format!("bind: {error}"))))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_code_leads_to_its_failure() {
        let result = |rc| LdapResult { rc, matched: String::new(), text: "words".into(), refs: vec![], ctrls: vec![] };
        for (code, expect) in [
            (10, "Topology(Unavailable"),
            (52, "Topology(Unavailable"),
            (53, "Topology(Refused"),
            (51, "Undone"),
            (80, "Undone"),
            (3, "Undone"),
            (32, "Decided(NoSuchObject"),
            (49, "Decided(InvalidCredentials"),
            (50, "Decided(InsufficientAccess"),
            (68, "Decided(AlreadyExists"),
            (122, "Decided(AssertionFailed"),
            (19, "Decided(Refused { code: 19"),
        ] {
            let judged = format!("{:?}", judge(&result(code)).unwrap_err());
            assert!(judged.starts_with(expect), "{code}: {judged}");
        }
        assert!(judge(&result(0)).is_ok());
    }

    #[test]
    fn only_results_48_and_49_refuse_a_password() {
        let result = |rc| LdapResult { rc, matched: String::new(), text: "words".into(), refs: vec![], ctrls: vec![] };
        assert!(judge_bind(&result(0)).is_ok());
        for code in 1..=123 {
            let failure = judge_bind(&result(code)).unwrap_err();
            let is_refused = matches!(failure, OperationFailure::Decided(DirectoryError::InvalidCredentials));
            assert_eq!(is_refused, matches!(code, 48 | 49), "{code}: {failure:?}");
            let is_unavailable = matches!(failure.of_read("ldap://a"), DirectoryError::Unavailable(_));
            assert_eq!(is_unavailable, !is_refused, "{code}");
        }
    }
}
