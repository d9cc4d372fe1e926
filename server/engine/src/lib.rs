//! The embeddable query engine: text in, batches and a receipt out.
//!
//! Phases are types ([`Submitted`], [`RunningQuery`]). Knows no wire protocol, no HTTP, no cloud SDK.

mod account;
mod admission;
mod authorizer;
mod commands;
mod config;
mod connector;
mod context;
mod detached;
mod engine;
mod error;
mod logical_rules;
mod memory;
mod meters;
mod namesakes;
mod query;
mod remote_catalogs;
mod remote_store;
mod resident;
pub mod resolve;
mod reuse;
pub mod runtime;
mod settings;
mod store_registry;
mod system_tables;
pub mod wire;
mod workgroups;

pub use authorizer::{Action, AllowAll, Authorizer, Resource};
pub use config::{EngineConfig, ServerSetting, WorkgroupConfig, WorkgroupState};
pub use connector::{Connector, PlanShared, RemoteRelation, RemoteScope, ToldOfPlan};
pub use context::{
    DEFAULT_CATALOG, DEFAULT_DATABASE, DEFAULT_WORKGROUP, Principal, QueryContext, SessionSettings,
};
pub use engine::{Engine, EngineBuilder};
pub use memory::QueryMemoryPool;
pub use meters::Meters;
pub use owlake_metering::RemoteQuery;
pub use query::{
    Estimate, EstimateRow, NoObserver, Prepared, QueryFailure, QueryObserver, RunningQuery, StatementKind,
    Submitted,
};
pub use remote_catalogs::{ConnectorFactory, catalog_name_is_usable};
pub use settings::{SETTINGS, SettingInfo};
pub use system_tables::{INFORMATION_TABLES, SYSTEM_TABLES};
