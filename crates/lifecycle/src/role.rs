//! Roles as scopes: what the credentials of the built-in namespace may do, and in which namespace.

use std::{fmt, str::FromStr};

use jeton_types::{NamespaceName, ScopeSet};

/// What a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything in its reach.
    Admin,
    /// Issues and rotates.
    Issuer,
    /// Revokes.
    Revoker,
    /// Reads.
    Auditor,
    /// Verifies, and is fed.
    Verifier,
    /// Receives what is delivered to consumers.
    Agent,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Admin, Self::Issuer, Self::Revoker, Self::Auditor, Self::Verifier, Self::Agent];

    /// The word in a scope.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Issuer => "issuer",
            Self::Revoker => "revoker",
            Self::Auditor => "auditor",
            Self::Verifier => "verifier",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a role holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// Everywhere, also in namespaces that are yet to come.
    All,
    /// In one namespace.
    Namespace(NamespaceName),
}

impl Reach {
    /// Whether all of `other` lies within this.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        *self == Self::All || self == other
    }

    /// The reach that an action in `namespace` needs; without one, all of it.
    #[must_use]
    pub fn of(namespace: Option<&NamespaceName>) -> Self {
        namespace.map_or(Self::All, |name| Self::Namespace(name.clone()))
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Namespace(name) => f.write_str(name.as_str()),
        }
    }
}

/// One role in one reach, written as the scope `issuer@acme` or `admin@*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// Where it holds.
    pub reach: Reach,
}

impl Grant {
    /// A role in a reach.
    #[must_use]
    pub const fn new(role: Role, reach: Reach) -> Self {
        Self { role, reach }
    }
}

/// A scope of the built-in namespace that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{scope}` is no role: a scope in namespace `jeton` is ROLE@NAMESPACE or ROLE@*, and ROLE is one of admin, issuer, \
     revoker, auditor, verifier, agent"
)]
pub struct UnknownRole {
    /// The scope as it was given.
    pub scope: String,
}

impl FromStr for Grant {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let unknown = || UnknownRole { scope: text.to_owned() };
        let (role, reach) = text.split_once('@').ok_or_else(unknown)?;
        let role = Role::ALL.into_iter().find(|known| known.as_str() == role).ok_or_else(unknown)?;
        let reach = match reach {
            "*" => Reach::All,
            name => Reach::Namespace(name.parse().map_err(|_| unknown())?),
        };
        Ok(Self { role, reach })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.role, self.reach)
    }
}

/// The roles among `scopes`. Others are ignored: they give nothing.
#[must_use]
pub fn roles_of(scopes: &ScopeSet) -> Vec<Grant> {
    scopes.iter().filter_map(|scope| scope.as_str().parse().ok()).collect()
}

/// The roles that `scopes` are, all of them: what a credential of the built-in namespace must be issued with.
///
/// # Errors
/// [`UnknownRole`] for the first scope that is none.
pub fn scopes_are_roles(scopes: &ScopeSet) -> Result<Vec<Grant>, UnknownRole> {
    scopes.iter().map(|scope| scope.as_str().parse()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: Option<(Role, &str)>) {
        let grant: Option<Grant> = text.parse().ok();
        let expect = expect.map(|(role, reach)| {
            let reach = if reach == "*" { Reach::All } else { Reach::Namespace(reach.parse().unwrap()) };
            Grant::new(role, reach)
        });
        assert_eq!(grant, expect, "{text}");
    }

    #[test]
    fn forms() {
        check("admin@*", Some((Role::Admin, "*")));
        check("issuer@acme", Some((Role::Issuer, "acme")));
        check("verifier@jeton", Some((Role::Verifier, "jeton")));
        for bad in
            ["", "admin", "@", "admin@", "@*", "Admin@*", "root@*", "admin@**", "admin@a*", "admin@*@*", "orders:read"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn unknown_scopes_give_nothing_and_are_refused_when_issuing() {
        let scopes = ScopeSet::parse(["orders:read", "issuer@acme"]).unwrap();
        assert_eq!(roles_of(&scopes), ["issuer@acme".parse().unwrap()]);
        assert_eq!(scopes_are_roles(&scopes), Err(UnknownRole { scope: "orders:read".to_owned() }));
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "(admin|issuer|revoker|auditor|verifier|agent|[a-z]{1,6})@([*]|[a-z][a-z0-9-]{0,8}|.{0,4})") {
            if let Ok(grant) = text.parse::<Grant>() {
                prop_assert_eq!(grant.to_string(), text);
            }
        }
    }
}
