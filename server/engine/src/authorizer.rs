//! Who may see what: asked at the resolve door for queries, DDL, metadata and system tables alike.

use std::fmt;

use owlake_fault::Fault;

use crate::context::Principal;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read rows or the schema.
    Read,
    /// Change the definition.
    Change,
}

/// The thing it is done to.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// Catalog.
    pub catalog: &'a str,
    /// Database.
    pub database: &'a str,
    /// Table; `None` means the database itself.
    pub table: Option<&'a str>,
}

/// Decides on every access. Must not block: it is asked on planning threads.
pub trait Authorizer: Send + Sync + fmt::Debug {
    /// `Err` with `PERMISSION_DENIED` refuses.
    fn check(&self, principal: &Principal, action: Action, resource: Resource<'_>) -> Result<(), Fault>;
}

/// Everybody may do everything: the default until grants are configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl Authorizer for AllowAll {
    fn check(&self, _principal: &Principal, _action: Action, _resource: Resource<'_>) -> Result<(), Fault> {
        Ok(())
    }
}
