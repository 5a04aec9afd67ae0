//! Names of bodies.

use serde::{Deserialize, Serialize};

use crate::AccountId;

/// Bits of a [`BodyId`] that hold the engine's number; the rest is the account's tag. 2^40 bodies are a thousand years
/// of thirty a second.
const NUMBER_BITS: u32 = 40;

/// The name of a stored body, given by the engine when the body comes in.
///
/// Opaque, never used again for another body, and valid only within its account: a part of it is a digest of the account,
/// so that an id that got into the wrong hands by a mistake names nothing there. It is no secret. What it names never
/// changes; where that lies on disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BodyId(u64);

impl BodyId {
    /// Names no body of any account: reading it is answered with [`Gone`](crate::StoreError::Gone).
    pub const NONE: Self = Self(0);

    /// For the engine's body `number` in an account. Numbers begin at 1.
    pub(crate) fn new(account: AccountId, number: u64) -> Self {
        Self(tag(account) << NUMBER_BITS | number & mask())
    }

    /// The engine's number; `None` when the id is not one of this account.
    pub(crate) fn number(self, account: AccountId) -> Option<u64> {
        let number = self.0 & mask();
        (number > 0 && self.0 >> NUMBER_BITS == tag(account)).then_some(number)
    }
}

impl std::fmt::Display for BodyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn mask() -> u64 {
    (1 << NUMBER_BITS) - 1
}

fn tag(account: AccountId) -> u64 {
    let (high, low) = account.0.as_u64_pair();
    // Fibonacci hashing: the upper bits of the product depend on all bits.
    (high.rotate_left(32) ^ low).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> NUMBER_BITS
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_id_is_valid_in_its_account_only() {
        let accounts: Vec<AccountId> = (1..200).map(|number| AccountId(Uuid::from_u128(number))).collect();
        for account in &accounts {
            assert_eq!(BodyId::new(*account, 77).number(*account), Some(77));
            let elsewhere = accounts.iter().filter(|other| *other != account);
            assert!(elsewhere.clone().all(|other| BodyId::new(*account, 77).number(*other).is_none()));
            assert_eq!(BodyId::NONE.number(*account), None);
        }
    }
}
