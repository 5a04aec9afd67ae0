//! Ids of message bodies.

use serde::{Deserialize, Serialize};

use crate::AccountId;

/// Bits of a [`BodyId`] that hold the engine's number; the others hold a digest of the account. 2^40 bodies last for a
/// thousand years at thirty per second.
const NUMBER_BITS: u32 = 40;

/// The id of a stored body, assigned by the engine.
///
/// Opaque, never reused, and valid only within its account: 24 bits of it are a digest of the account, so an id that
/// reaches another account by mistake is almost certainly invalid there. It is not a secret. The octets of a body never
/// change; their place on disk may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BodyId(u64);

impl BodyId {
    /// An id without a body in any account: reading it returns [`Gone`](crate::StoreError::Gone).
    pub const NONE: Self = Self(0);

    /// Makes the id of the engine's body `number` in an account. Numbers begin at 1.
    pub(crate) fn new(account: AccountId, number: u64) -> Self {
        Self(account_digest(account) << NUMBER_BITS | number & number_mask())
    }

    /// Returns the engine's number; `None` when the id is not of this account.
    pub(crate) fn number(self, account: AccountId) -> Option<u64> {
        let number = self.0 & number_mask();
        (number > 0 && self.0 >> NUMBER_BITS == account_digest(account)).then_some(number)
    }
}

impl std::fmt::Display for BodyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn number_mask() -> u64 {
    (1 << NUMBER_BITS) - 1
}

fn account_digest(account: AccountId) -> u64 {
    let (high, low) = account.get().as_u64_pair();
    // Fibonacci hashing: the upper bits of the product depend on all bits.
    (high.rotate_left(32) ^ low).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> NUMBER_BITS
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_id_is_valid_in_its_account_only() {
        let accounts: Vec<AccountId> = (1..200).map(|number| AccountId::new(Uuid::from_u128(number))).collect();
        for account in &accounts {
            assert_eq!(BodyId::new(*account, 77).number(*account), Some(77));
            let elsewhere = accounts.iter().filter(|other| *other != account);
            assert!(elsewhere.clone().all(|other| BodyId::new(*account, 77).number(*other).is_none()));
            assert_eq!(BodyId::NONE.number(*account), None);
        }
    }
}
