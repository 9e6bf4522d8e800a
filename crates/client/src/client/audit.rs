use jeton_api::{
    audit::{AuditHeadView, AuditQuery, AuditView},
    page::LIMIT_MAX,
    problem::Code,
};

use super::{Client, Pages};
use crate::{error::Error, url::Target};

/// The audit trail.
impl Client {
    /// Its entries, oldest first. [`crate::audit::AuditCheck`] checks their chain.
    pub fn audit(&self, query: &AuditQuery) -> Pages<AuditView> {
        let target = Target::new("/v1/audit")
            .query("limit", &query.limit.unwrap_or(LIMIT_MAX))
            .query_some("namespace", query.namespace.as_ref());
        Pages::new(self, target, query.after.clone())
    }

    /// Its newest entry; nothing for whoever may read the entries of some namespaces only.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn audit_head(&self) -> Result<Option<AuditHeadView>, Error> {
        match self.get(Target::new("/v1/audit/head")).await {
            Ok(head) => Ok(Some(head)),
            Err(error) if error.code() == Some(Code::Forbidden) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
