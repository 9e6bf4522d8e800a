//! Who may do what. A permission is a value: what changes something demands an [`Authorized`], which only the checks
//! here can make.

use std::fmt;

use jeton_types::NamespaceName;

use crate::role::{Grant, Reach, Role};

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Create a namespace.
    NamespaceCreate,
    /// Show a namespace.
    NamespaceRead,
    /// Change a namespace's freshness or default.
    NamespaceUpdate,
    /// Issue a credential. In the built-in namespace [`permit_grants`] decides instead.
    CredentialIssue,
    /// Show credentials and tokens.
    CredentialRead,
    /// Mint the next version. In the built-in namespace [`permit_grants`] decides instead.
    CredentialRotate,
    /// Change a credential so that it is given something, or enable it. In the built-in namespace [`permit_grants`]
    /// decides instead.
    CredentialUpdate,
    /// End tokens, delete or disable a credential, take scopes or time from it, disable a namespace. In the built-in
    /// namespace [`permit_grants`] decides instead.
    Revoke,
    /// Enable a namespace again.
    NamespaceEnable,
    /// Ask the authority about a token.
    Verify,
    /// Show verifiers.
    VerifierRead,
    /// Show revocations and receipts.
    RevocationRead,
    /// Read the audit trail.
    AuditRead,
    /// Read the metrics.
    MetricsRead,
    /// Hold a replica and be fed.
    Feed,
}

impl Action {
    /// All there are.
    pub const ALL: [Self; 15] = [
        Self::NamespaceCreate,
        Self::NamespaceRead,
        Self::NamespaceUpdate,
        Self::CredentialIssue,
        Self::CredentialRead,
        Self::CredentialRotate,
        Self::CredentialUpdate,
        Self::Revoke,
        Self::NamespaceEnable,
        Self::Verify,
        Self::VerifierRead,
        Self::RevocationRead,
        Self::AuditRead,
        Self::MetricsRead,
        Self::Feed,
    ];

    /// The roles beside `admin` that may do it.
    const fn roles(self) -> &'static [Role] {
        match self {
            Self::NamespaceCreate | Self::NamespaceUpdate | Self::NamespaceEnable => &[],
            Self::NamespaceRead | Self::CredentialRead | Self::VerifierRead | Self::RevocationRead => {
                &[Role::Auditor, Role::Issuer, Role::Revoker]
            }
            Self::CredentialIssue | Self::CredentialRotate | Self::CredentialUpdate => &[Role::Issuer],
            Self::Revoke => &[Role::Revoker],
            Self::Verify | Self::Feed => &[Role::Verifier],
            Self::AuditRead | Self::MetricsRead => &[Role::Auditor],
        }
    }

    /// Whether it concerns the whole store, whatever namespace is named.
    const fn everywhere(self) -> bool {
        matches!(self, Self::NamespaceCreate | Self::MetricsRead)
    }
}

/// Proof that a check said yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a permission is there to be demanded by what it permits"]
pub struct Authorized(());

/// The check said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// One of these scopes would do.
    #[error("needs {}", Alternatives(.0))]
    Needs(Vec<Grant>),
    /// The built-in namespace is fed to no verifier, whatever it holds (`feed-protocol.md` 20).
    #[error("namespace `jeton` is never fed: its tokens are verified by the authority alone")]
    NeverFed,
}

/// Whether `grants` allow `action` in `namespace`. Without a namespace the whole store is meant, and only the reach `*`
/// will do; a list over several namespaces is filtered by asking for each.
///
/// # Errors
/// [`Denied`], naming what would do.
pub fn permit(grants: &[Grant], action: Action, namespace: Option<&NamespaceName>) -> Result<Authorized, Denied> {
    if action == Action::Feed && namespace.is_some_and(NamespaceName::is_built_in) {
        return Err(Denied::NeverFed);
    }
    let reach = Reach::of(namespace.filter(|_| !action.everywhere()));
    let allowed = grants.iter().any(|grant| {
        (grant.role == Role::Admin || action.roles().contains(&grant.role)) && grant.reach.includes(&reach)
    });
    if allowed {
        return Ok(Authorized(()));
    }
    let roles = action.roles().iter().copied().chain([Role::Admin]);
    Err(Denied::Needs(roles.map(|role| Grant::new(role, reach.clone())).collect()))
}

/// Whether `grants` allow to hand out, rotate or revoke a credential of the built-in namespace that holds `wanted`:
/// one must be admin in the reach of each, or nobody could be kept from giving himself more than he has. A credential
/// that holds nothing is the business of the built-in namespace's admin.
///
/// # Errors
/// [`Denied`], naming the first that is missing.
pub fn permit_grants(grants: &[Grant], wanted: &[Grant]) -> Result<Authorized, Denied> {
    let own = Reach::Namespace(NamespaceName::built_in());
    let is_admin = |reach: &Reach| grants.iter().any(|grant| grant.role == Role::Admin && grant.reach.includes(reach));
    let mut reaches: Vec<&Reach> = wanted.iter().map(|grant| &grant.reach).collect();
    if reaches.is_empty() {
        reaches.push(&own);
    }
    match reaches.into_iter().find(|reach| !is_admin(reach)) {
        None => Ok(Authorized(())),
        Some(reach) => Err(Denied::Needs(vec![Grant::new(Role::Admin, reach.clone())])),
    }
}

struct Alternatives<'a>(&'a [Grant]);

impl fmt::Display for Alternatives<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, grant) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" or ")?;
            }
            write!(f, "{grant}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grants(texts: &[&str]) -> Vec<Grant> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Which roles, each held in the namespace asked about, may do what: the whole table.
    #[test]
    fn the_table() {
        use Action::*;
        let acme: NamespaceName = "acme".parse().unwrap();
        let table: [(Action, &[&str]); 15] = [
            (NamespaceCreate, &[]),
            (NamespaceRead, &["admin", "issuer", "revoker", "auditor"]),
            (NamespaceUpdate, &["admin"]),
            (CredentialIssue, &["admin", "issuer"]),
            (CredentialRead, &["admin", "issuer", "revoker", "auditor"]),
            (CredentialRotate, &["admin", "issuer"]),
            (CredentialUpdate, &["admin", "issuer"]),
            (Revoke, &["admin", "revoker"]),
            (NamespaceEnable, &["admin"]),
            (Verify, &["admin", "verifier"]),
            (VerifierRead, &["admin", "issuer", "revoker", "auditor"]),
            (RevocationRead, &["admin", "issuer", "revoker", "auditor"]),
            (AuditRead, &["admin", "auditor"]),
            (MetricsRead, &[]),
            (Feed, &["admin", "verifier"]),
        ];
        for (action, expect) in table {
            let may: Vec<&str> = Role::ALL
                .into_iter()
                .filter(|role| permit(&grants(&[&format!("{role}@acme")]), action, Some(&acme)).is_ok())
                .map(Role::as_str)
                .collect();
            assert_eq!(may, expect, "{action:?}");
            for role in Role::ALL {
                let elsewhere = grants(&[&format!("{role}@other")]);
                assert!(permit(&elsewhere, action, Some(&acme)).is_err(), "{role}@other {action:?}");
                assert!(permit(&elsewhere, action, None).is_err(), "{role}@other {action:?}");
            }
        }
    }

    fn check(held: &[&str], action: Action, namespace: Option<&str>, expect: &str) {
        let namespace = namespace.map(|name| name.parse().unwrap());
        let shown = match permit(&grants(held), action, namespace.as_ref()) {
            Ok(_) => "yes".to_owned(),
            Err(denied) => denied.to_string(),
        };
        assert_eq!(shown, expect, "{held:?} {action:?} {namespace:?}");
    }

    #[test]
    fn what_is_missing_is_named() {
        check(&[], Action::CredentialIssue, Some("acme"), "needs issuer@acme or admin@acme");
        check(&["admin@acme"], Action::NamespaceCreate, Some("acme"), "needs admin@*");
        check(&["admin@*"], Action::NamespaceCreate, Some("acme"), "yes");
        check(&["auditor@acme"], Action::MetricsRead, None, "needs auditor@* or admin@*");
        check(&["auditor@*"], Action::MetricsRead, None, "yes");
        check(&["auditor@acme"], Action::RevocationRead, None, "needs auditor@* or issuer@* or revoker@* or admin@*");
        let never = "namespace `jeton` is never fed: its tokens are verified by the authority alone";
        check(&["admin@*"], Action::Feed, Some("jeton"), never);
        check(&["verifier@*"], Action::Feed, Some("acme"), "yes");
    }

    fn check_grants(held: &[&str], wanted: &[&str], expect: &str) {
        let shown = match permit_grants(&grants(held), &grants(wanted)) {
            Ok(_) => "yes".to_owned(),
            Err(denied) => denied.to_string(),
        };
        assert_eq!(shown, expect, "{held:?} {wanted:?}");
    }

    #[test]
    fn nobody_hands_out_more_than_he_is_admin_of() {
        check_grants(&["admin@acme"], &["verifier@acme", "admin@acme"], "yes");
        check_grants(&["admin@*"], &["admin@*", "issuer@acme"], "yes");
        check_grants(&["admin@acme"], &["verifier@acme", "verifier@other"], "needs admin@other");
        check_grants(&["admin@acme"], &["verifier@*"], "needs admin@*");
        check_grants(&["issuer@*", "revoker@*"], &["verifier@acme"], "needs admin@acme");
        check_grants(&["admin@jeton"], &["admin@*"], "needs admin@*");
        check_grants(&["admin@acme"], &[], "needs admin@jeton");
        check_grants(&["admin@jeton"], &[], "yes");
        check_grants(&[], &[], "needs admin@jeton");
    }

    fn grant() -> impl Strategy<Value = Grant> {
        let reach = prop_oneof![Just("*"), Just("acme"), Just("other"), Just("jeton")];
        (proptest::sample::select(Role::ALL.to_vec()), reach)
            .prop_map(|(role, reach)| format!("{role}@{reach}").parse().unwrap())
    }

    proptest! {
        /// More grants never allow less, and handing out can give no action that an admin in that reach had not.
        #[test]
        fn permissions_only_grow(held in proptest::collection::vec(grant(), 0..4), more in grant(),
            action in proptest::sample::select(Action::ALL.to_vec()),
            name in proptest::option::of(proptest::sample::select(vec!["acme", "other", "jeton"]))) {
            let name: Option<NamespaceName> = name.map(|name| name.parse().unwrap());
            let with_more: Vec<Grant> = held.iter().cloned().chain([more.clone()]).collect();
            if permit(&held, action, name.as_ref()).is_ok() {
                prop_assert!(permit(&with_more, action, name.as_ref()).is_ok());
            }
            if permit_grants(&held, std::slice::from_ref(&more)).is_ok() && permit(&[more], action, name.as_ref()).is_ok() {
                prop_assert!(permit(&held, action, name.as_ref()).is_ok(), "an escalation");
            }
        }
    }
}
