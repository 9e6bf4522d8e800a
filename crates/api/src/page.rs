//! Lists, a page at a time.

use serde::{Deserialize, Serialize};

/// Items on a page unless the request says otherwise.
pub const LIMIT_DEFAULT: usize = 100;
/// Items on a page, at most.
pub const LIMIT_MAX: usize = 1_000;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to ask for as `after` to get the page after it; `null` on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A list that is all on one page.
    #[must_use]
    pub const fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// Which page is asked for, in the query of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Items on the page: 1 to 1,000, 100 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}
