//! What the OpenAPI document says of these types: each is one named schema, with its form as a pattern.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, Object, ObjectBuilder, RefOr, Schema, SchemaFormat, Type,
        schema::{AdditionalProperties, ArrayBuilder},
    },
};

use crate::{
    AddressList, AddressRange, CredentialId, CredentialName, CredentialRef, Freshness, Hash32, Label, Labels,
    NamespaceName, Prefix, Revision, RevocationId, RotationId, Scope, ScopeSet, SessionId, Span, StartId, Subject,
    TokenId, VerifierName,
    limits::{ADDRESS_RANGES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, SCOPES_MAX},
};

/// Any text without control characters.
const PRINTABLE: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

fn text(pattern: &str, lengths: (usize, usize), description: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .min_length(Some(lengths.0))
        .max_length(Some(lengths.1))
        .description(Some(description))
        .examples([example])
}

macro_rules! texts {
    ($($name:ident: $pattern:expr, $lengths:expr, $example:literal, $description:expr;)*) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                text($pattern, $lengths, $description, $example).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

texts! {
    NamespaceName: "^[a-z][a-z0-9-]{0,62}$", (1, 63), "acme", NamespaceName::FORM.0;
    CredentialName: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", (1, 128), "billing", CredentialName::FORM.0;
    VerifierName: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", (1, 128), "edge-1", VerifierName::FORM.0;
    Subject: "^[!-~]([ -~]{0,254}[!-~])?$", (1, 256), "svc:billing", Subject::FORM.0;
    Label: r"^[A-Za-z0-9._/-]{1,63}=[^\x00-\x1f\x7f-\x9f]{0,256}$", (2, 320), "team=core", Label::FORM.0;
    Scope: r"^[!#-\[\]-~]{1,128}$", (1, 128), "orders:read",
        "one scope (RFC 6749, 3.3); in namespace `jeton` a role, such as `verifier@acme`";
    AddressRange: r"^[0-9a-fA-F:.]{2,45}(/[0-9]{1,3})?$", (2, 49), "10.0.0.0/8", AddressRange::FORM.0;
    Prefix: "^[a-z][a-z0-9]*(_[a-z0-9]+)*$", (2, 24), "acme_live", "what the tokens of a namespace begin with";
    Span: "^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$", (2, 64), "90d",
        "a length of time: days, hours, minutes, seconds and milliseconds, in this order";
    Freshness: "^(strict|grace=([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?)$", (6, 64), "grace=5m",
        "what a verifier does that is cut off: `strict`, or `grace=D` with D from 1s to 1h";
    Hash32: "^[0-9a-f]{64}$", (64, 64), "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "32 bytes of SHA-256, in hex";
    CredentialId: "^cred_[0-7][0-9a-hjkmnp-tv-z]{25}$", (31, 31), "cred_01h455vb4pex5vsknk084sn02q", "a credential's id";
    TokenId: "^tok_[0-7][0-9a-hjkmnp-tv-z]{25}$", (30, 30), "tok_01h455vb4pex5vsknk084sn02q", "a token's public id";
    RevocationId: "^rev_[0-7][0-9a-hjkmnp-tv-z]{25}$", (30, 30), "rev_01h455vb4pex5vsknk084sn02q", "a revocation's id";
    RotationId: "^rot_[0-7][0-9a-hjkmnp-tv-z]{25}$", (30, 30), "rot_01h455vb4pex5vsknk084sn02q", "a rotation's id";
    SessionId: "^ses_[0-7][0-9a-hjkmnp-tv-z]{25}$", (30, 30), "ses_01h455vb4pex5vsknk084sn02q",
        "one verifier process as the authority knows it";
    StartId: "^start_[0-7][0-9a-hjkmnp-tv-z]{25}$", (32, 32), "start_01h455vb4pex5vsknk084sn02q",
        "one start of the authority";
    CredentialRef: "^(cred_[0-7][0-9a-hjkmnp-tv-z]{25}|[a-z][a-z0-9-]{0,62}/[A-Za-z0-9][A-Za-z0-9._-]{0,127})$",
        (3, 192), "acme/billing", "a credential, as `NAMESPACE/NAME` or by its id";
}

impl PartialSchema for ScopeSet {
    fn schema() -> RefOr<Schema> {
        let scopes = ArrayBuilder::new().items(Scope::schema()).max_items(Some(SCOPES_MAX));
        scopes.description(Some("scopes, each counted once")).examples([["orders:read", "orders:write"]]).into()
    }
}

impl ToSchema for ScopeSet {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ScopeSet")
    }
}

impl PartialSchema for AddressList {
    fn schema() -> RefOr<Schema> {
        let ranges = ArrayBuilder::new().items(AddressRange::schema()).max_items(Some(ADDRESS_RANGES_MAX));
        ranges
            .description(Some("ranges of client addresses; none is anywhere"))
            .examples([["10.0.0.0/8", "2001:db8::/32"]])
            .into()
    }
}

impl ToSchema for AddressList {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("AddressList")
    }
}

impl PartialSchema for Labels {
    fn schema() -> RefOr<Schema> {
        let string = || ObjectBuilder::new().schema_type(Type::String);
        let value: Object = string().max_length(Some(LABEL_VALUE_BYTES_MAX)).pattern(Some(PRINTABLE)).build();
        let key: Object = string().pattern(Some("^[A-Za-z0-9._/-]{1,63}$")).build();
        ObjectBuilder::new()
            .description(Some("labels for finding a credential again; a value is at most 256 bytes"))
            .additional_properties(Some(AdditionalProperties::from(RefOr::T(Schema::Object(value)))))
            .property_names(Some(Schema::Object(key)))
            .max_properties(Some(LABELS_MAX))
            .into()
    }
}

impl ToSchema for Labels {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Labels")
    }
}

impl PartialSchema for Revision {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0_usize))
            .maximum(Some(Self::LIMIT as usize - 1))
            .description(Some("the order of everything that happens; near microseconds since the Unix epoch"))
            .into()
    }
}

impl ToSchema for Revision {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Revision")
    }
}
