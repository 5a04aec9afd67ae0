//! The RFC 4533 consumer task.
