//! What the product is measured against.

pub mod append;
pub mod bare;
pub mod broadcast;
pub mod floor;
