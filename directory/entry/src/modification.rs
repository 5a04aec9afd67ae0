//! The changes of a modify operation to one attribute (RFC 4511 §4.6).

use std::fmt;

use crate::AttributeDescription;
use crate::entry::ShownValues;

/// The operation of a modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModOp {
    /// Adds the listed values.
    Add,
    /// Removes the listed values, or the whole attribute when none are listed.
    Delete,
    /// Replaces all values by the listed ones; an empty list removes the attribute, if present.
    Replace,
}

/// One change of a modify request. A request applies all of its modifications or none. `Debug` redacts passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Modification {
    /// What happens to the values.
    pub op: ModOp,
    /// The attribute that changes, options included.
    pub attribute: AttributeDescription,
    /// The values that the operation lists, as octets; [`ModOp::Delete`] and [`ModOp::Replace`] may list none.
    pub values: Vec<Vec<u8>>,
}

impl Modification {
    /// Makes a modification that replaces the values of `attribute` by `values`.
    pub fn replace(attribute: AttributeDescription, values: Vec<Vec<u8>>) -> Self {
        Self { op: ModOp::Replace, attribute, values }
    }

    /// Makes a modification that adds `values` to `attribute`.
    pub fn add(attribute: AttributeDescription, values: Vec<Vec<u8>>) -> Self {
        Self { op: ModOp::Add, attribute, values }
    }

    /// Makes a modification that deletes `values` from `attribute`.
    pub fn delete(attribute: AttributeDescription, values: Vec<Vec<u8>>) -> Self {
        Self { op: ModOp::Delete, attribute, values }
    }
}

impl fmt::Debug for Modification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modification")
            .field("op", &self.op)
            .field("attribute", &self.attribute)
            .field("values", &ShownValues { name: &self.attribute, values: &self.values })
            .finish()
    }
}
