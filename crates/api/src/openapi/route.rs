//! The table of routes. A test of the authority compares it with the router.

use jeton_types::{
    CredentialId, CredentialName, Label, NamespaceName, RevocationId, SessionId, Subject, TokenId, limits::LABELS_MAX,
};
use serde_json::json;

use super::operation::Operation;
use crate::{
    audit::{AuditHeadView, AuditView},
    credential::{
        CredentialChangedView, CredentialPatch, CredentialState, CredentialView, IssueRequest, IssuedView,
        RotateRequest, RotatedView,
    },
    event::{AlarmEvent, ChangeEvent, ReceiptEvent, SessionEvent},
    key::JwkSet,
    namespace::{NamespaceChangedView, NamespaceCreateRequest, NamespacePatch, NamespaceView},
    problem::Code,
    revocation::{
        BurnRequest, BurnView, Reason, ReceiptView, RevocationView, RevokePreviewView, RevokeRequest, TimeoutMs, Wait,
    },
    token::TokenView,
    verifier::VerifierView,
    verify::{VerdictView, VerifyRequest},
};

/// Every operation there is, in the order of the document.
pub(super) fn operations() -> Vec<Operation> {
    let mut all = namespaces();
    all.extend(credentials());
    all.extend(revocations());
    all.extend(verifying());
    all.extend(audit());
    all.extend(process());
    all
}

fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", path, id, summary)
}

fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("post", path, id, summary).refuses(&[Code::StorageFull])
}

fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("patch", path, id, summary).refuses(&[Code::StorageFull])
}

fn namespaces() -> Vec<Operation> {
    vec![
        get("/v1/namespaces", "namespace_list", "List the namespaces that the caller may read")
            .paged::<NamespaceName>()
            .answers_page::<NamespaceView>("a page of them, by name"),
        post("/v1/namespaces", "namespace_create", "Create a namespace")
            .once()
            .takes::<NamespaceCreateRequest>(json!({"name": "acme", "prefix": "acme_live", "freshness": "grace=5m", "default_ttl": "90d"}))
            .answers::<NamespaceView>(201, "the namespace")
            .refuses(&[Code::NameTaken, Code::PrefixTaken]),
        get("/v1/namespaces/{ns}", "namespace_show", "Show a namespace")
            .named::<NamespaceName>("ns")
            .answers::<NamespaceView>(200, "the namespace"),
        patch("/v1/namespaces/{ns}", "namespace_update", "Change a namespace: its freshness, its default, whether it is disabled")
            .once()
            .note("To disable is one record, however many tokens there are; its receipt holds until a later revision enables again. A shorter grace has a receipt too: once it is complete, every verifier stops as early as it says. `If-Match` takes the `ETag` of the namespace.")
            .named::<NamespaceName>("ns")
            .takes::<NamespacePatch>(json!({"freshness": "strict", "reason": "it opens doors to money now", "wait": "complete", "timeout_ms": 5_000}))
            .answers::<NamespaceChangedView>(200, "the namespace as it is now, and the receipt where authority ended")
            .refuses(&[Code::EtagMismatch]),
    ]
}

fn credentials() -> Vec<Operation> {
    vec![
        get("/v1/namespaces/{ns}/credentials", "credential_list", "List the credentials of a namespace")
            .named::<NamespaceName>("ns")
            .query::<CredentialName>("name", "the one of this name")
            .query::<Subject>("subject", "those that speak for this one")
            .queries::<Label>("label", "those that have this label, `key=value`; of several, all", LABELS_MAX)
            .query::<CredentialState>("state", "those in this state")
            .paged::<CredentialId>()
            .answers_page::<CredentialView>("a page of them, oldest first"),
        post("/v1/namespaces/{ns}/credentials", "credential_issue", "Issue a credential with its first token")
            .once()
            .refuses(&[Code::SecretUnavailable])
            .note("When this has answered, no verifier that serves the namespace says `unknown` of the token. The secret is in the answer and never shown again.")
            .named::<NamespaceName>("ns")
            .takes::<IssueRequest>(json!({"name": "billing", "subject": "svc:billing", "scopes": ["orders:read"], "labels": {"team": "core"}, "ttl": "30d"}))
            .answers::<IssuedView>(201, "the credential, its token, and the token's secret, once")
            .refuses(&[Code::NameTaken]),
        get("/v1/credentials/{id}", "credential_show", "Show a credential")
            .named::<CredentialId>("id")
            .answers::<CredentialView>(200, "the credential"),
        patch("/v1/credentials/{id}", "credential_update", "Change a credential")
            .once()
            .note("What is not named stays. What ends authority (disabled, scopes taken away, an expiry brought forward) needs the right to revoke and has a receipt; what gives needs the right to issue. `If-Match` takes the `ETag` of the credential.")
            .named::<CredentialId>("id")
            .takes::<CredentialPatch>(json!({"scopes": ["orders:read"], "reason": "never needed", "wait": "committed"}))
            .answers::<CredentialChangedView>(200, "the credential as it is now, and the receipt where authority ended")
            .refuses(&[Code::Gone, Code::EtagMismatch]),
        Operation::new("delete", "/v1/credentials/{id}", "credential_delete", "Delete a credential and end its tokens, for good")
            .once()
            .note("Its name stays taken. A second time answers the same receipt. `If-Match` takes the `ETag` of the credential.")
            .named::<CredentialId>("id")
            .query::<Reason>("reason", "why, for whoever looks at it later")
            .query::<Wait>("wait", "what to wait for")
            .query::<TimeoutMs>("timeout_ms", "how long to wait for a complete receipt")
            .answers::<CredentialChangedView>(200, "the credential as it was, and the receipt")
            .refuses(&[Code::EtagMismatch, Code::StorageFull]),
        post("/v1/credentials/{id}/rotate", "credential_rotate", "Mint a credential's next token")
            .once()
            .refuses(&[Code::SecretUnavailable])
            .note("The token so far works on until the overlap ends. The new secret is in the answer and never shown again.")
            .named::<CredentialId>("id")
            .takes::<RotateRequest>(json!({"overlap": "1h"}))
            .answers::<RotatedView>(201, "the new token with its secret, once, and the one before it")
            .refuses(&[Code::RotationInProgress]),
        get("/v1/credentials/{id}/tokens", "token_list", "List the tokens of a credential")
            .named::<CredentialId>("id")
            .answers_page::<TokenView>("all versions, oldest first"),
        get("/v1/tokens/{id}", "token_show", "Show a token")
            .named::<TokenId>("id")
            .answers::<TokenView>(200, "the token, without its secret"),
    ]
}

fn revocations() -> Vec<Operation> {
    vec![
        post("/v1/namespaces/{ns}/revocations", "revocation_create", "End tokens, and wait for the proof")
            .once()
            .note("With `wait: complete` the answer waits for the receipt. One that is still pending when the time is over is answered as it stands: the revocation itself holds.")
            .named::<NamespaceName>("ns")
            .takes::<RevokeRequest>(json!({"selector": {"credential": "acme/billing"}, "reason": "found in a public repository", "wait": "complete", "timeout_ms": 5_000}))
            .answers::<RevocationView>(201, "the revocation, with its receipt as it stands")
            .answers::<RevocationView>(200, "all that is selected has ended before: the latest revocation that did it")
            .answers::<RevokePreviewView>(200, "with `dry_run`: what would end"),
        get("/v1/revocations", "revocation_list", "List revocations")
            .query::<NamespaceName>("namespace", "only of this namespace")
            .paged::<RevocationId>()
            .answers_page::<RevocationView>("a page of them, oldest first; perhaps a short one with a `next`"),
        get("/v1/revocations/{id}", "revocation_show", "Show a revocation")
            .named::<RevocationId>("id")
            .answers::<RevocationView>(200, "the revocation, with its receipt as it stands"),
        get("/v1/revocations/{id}/receipt", "revocation_receipt", "Show the receipt of a revocation, or get it signed")
            .note("With `accept: application/jose` the answer is the signed receipt, a JWS in compact form. Only a complete one is signed.")
            .named::<RevocationId>("id")
            .answers::<ReceiptView>(200, "the receipt as it stands, or signed")
            .answers_as(200, "", "application/jose", "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl")
            .refuses(&[Code::ReceiptPending]),
        post("/v1/burn", "token_burn", "End a token that one holds")
            .note("Needs no other token: to hold one is the right to end it. The answer is the same whether or not there was such a token. A few requests a second from one address.")
            .open()
            .takes::<BurnRequest>(json!({"token": "acme_live_…", "reason": "found in a public repository"}))
            .answers::<BurnView>(202, "if there was such a token, it has ended"),
    ]
}

fn verifying() -> Vec<Operation> {
    vec![
        post("/v1/verify", "verify", "Ask the authority whether a token is good")
            .note("For callers without a verifier beside them. A token of a namespace in which the caller may not verify is as unknown to him as one that does not exist.")
            .takes::<VerifyRequest>(json!({"token": "acme_live_…", "scopes": ["orders:read"]}))
            .answers::<VerdictView>(200, "the verdict, with its evidence")
            .refuses(&[Code::Stale]),
        get("/v1/verifiers", "verifier_list", "List the sessions of verifiers")
            .paged::<SessionId>()
            .answers_page::<VerifierView>("a page of those that serve a namespace that the caller may read"),
        get("/v1/events", "event_stream", "What happens in the namespaces that the caller may read, as it happens")
            .note("Server-sent events: `change` (its id is the revision), `receipt`, `session` and `alarm`, each with one line of JSON: a ChangeEvent, ReceiptEvent, SessionEvent or AlarmEvent. A client that comes back with the last id it has seen misses no change, or is told `log_cut` because the log does not reach back so far: it reads the state as it is and begins without an id. One that is too slow is cut.")
            .header("Last-Event-ID", "the id of the last `change` that was seen; without it the stream begins now", json!({"$ref": "#/components/schemas/Revision"}))
            .answers_as(200, "events, until one side ends it", crate::event::CONTENT_TYPE, "event: change\nid: 1767323045678901\ndata: {…}\n\n")
            .mentions::<ChangeEvent>()
            .mentions::<ReceiptEvent>()
            .mentions::<SessionEvent>()
            .mentions::<AlarmEvent>()
            .refuses(&[Code::LogCut]),
    ]
}

fn audit() -> Vec<Operation> {
    vec![
        get("/v1/audit", "audit_list", "List the audit trail")
            .note(
                "Whoever may not read all namespaces sees the entries of those that he may read, and so gaps in `seq`.",
            )
            .query::<NamespaceName>("namespace", "only of this namespace")
            .paged::<u64>()
            .answers_page::<AuditView>("a page of the entries, oldest first; perhaps a short one with a `next`"),
        get("/v1/audit/head", "audit_head", "Show the newest entry of the audit trail")
            .note("Kept elsewhere, it shows later that nothing was cut off or rewritten.")
            .answers::<AuditHeadView>(200, "its place and its hash"),
    ]
}

fn process() -> Vec<Operation> {
    let text = "text/plain; charset=utf-8";
    vec![
        get("/metrics", "process_metrics", "The metrics, in the Prometheus text format").answers_as(
            200,
            "the metrics; docs/reference/metrics.md lists them",
            "text/plain; version=0.0.4; charset=utf-8",
            "jeton_receipts_pending 0\n",
        ),
        get("/livez", "process_livez", "Whether the process runs").open().answers_as(200, "it does", text, "ok\n"),
        get("/readyz", "process_readyz", "Whether to send something here")
            .open()
            .answers_as(200, "yes", text, "ready\n"),
        get("/openapi.json", "process_openapi", "This document").open().answers_as(
            200,
            "this document",
            "application/json",
            "{}",
        ),
        get("/.well-known/jwks.json", "process_jwks", "The public keys by which receipts are checked, past ones too")
            .open()
            .answers::<JwkSet>(200, "the keys, the one in use first"),
    ]
}
