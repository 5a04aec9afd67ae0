//! What a modify operation does to one attribute (RFC 4511 §4.6).

use crate::AttributeDescription;

/// Add, delete or replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModOp {
    /// Adds the listed values.
    Add,
    /// Removes the listed values, or the whole attribute when none are listed.
    Delete,
    /// Puts the listed values in place of all there are; none removes the attribute, absent or not.
    Replace,
}

/// One change of a modify request. A request applies all of its modifications or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modification {
    /// What to do.
    pub op: ModOp,
    /// With which attribute.
    pub attribute: AttributeDescription,
    /// With which values.
    pub values: Vec<Vec<u8>>,
}

impl Modification {
    /// Replaces `attribute` by `values`.
    pub fn replace(attribute: AttributeDescription, values: Vec<Vec<u8>>) -> Self {
        Self { op: ModOp::Replace, attribute, values }
    }

    /// Adds `values` to `attribute`.
    pub fn add(attribute: AttributeDescription, values: Vec<Vec<u8>>) -> Self {
        Self { op: ModOp::Add, attribute, values }
    }

    /// Deletes `values` from `attribute`.
    pub fn delete(attribute: AttributeDescription, values: Vec<Vec<u8>>) -> Self {
        Self { op: ModOp::Delete, attribute, values }
    }
}
