use http::Method;
use jeton_api::namespace::{NamespaceChangedView, NamespaceCreateRequest, NamespacePatch, NamespaceView};
use jeton_types::NamespaceName;

use super::{Change, Client, Pages, revocation::asked_wait};
use crate::{error::Error, url::Target};

/// Items on a page where the caller does not say: of the longest that there may be, that many fit into an answer.
pub(super) const PAGE: usize = 250;

pub(super) fn namespaces() -> Target {
    Target::new("/v1/namespaces")
}

/// Namespaces.
impl Client {
    /// Those that the caller may see.
    pub fn namespaces(&self) -> Pages<NamespaceView> {
        Pages::new(self, namespaces().query("limit", &PAGE), None)
    }

    /// One.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn namespace(&self, namespace: &NamespaceName) -> Result<NamespaceView, Error> {
        self.get(namespaces().segment(namespace)).await
    }

    /// Creates one.
    pub fn namespace_create(&self, request: &NamespaceCreateRequest) -> Change<'_, NamespaceView> {
        Change::new(self, Method::POST, namespaces()).body(request)
    }

    /// Switches one off or on as a whole.
    pub fn namespace_update(
        &self,
        namespace: &NamespaceName,
        patch: &NamespacePatch,
    ) -> Change<'_, NamespaceChangedView> {
        Change::new(self, Method::PATCH, namespaces().segment(namespace))
            .body(patch)
            .waiting(asked_wait(patch.wait, patch.timeout_ms))
    }
}
