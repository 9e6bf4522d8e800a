//! The public keys by which receipts are checked, past ones too. Open to everybody.

use axum::{extract::State, response::Response};

use super::answer;
use crate::core::Core;

pub(crate) async fn jwks(State(core): State<Core>) -> Response {
    answer::ok(&core.keys.jwks())
}
