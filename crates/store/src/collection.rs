//! What the audit says of a collection: one entry for each record, however many tokens it has.

/// What was done.
pub(crate) const ACTION: &str = "token.collect";

/// Why, and how many.
pub(crate) fn reason(count: usize) -> String {
    format!("{count} tokens had expired long before")
}
