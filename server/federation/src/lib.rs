//! Tables of other databases beside the lake. A connector is all this room knows of a database; the engine sees it
//! as `engine::Connector`. PostgreSQL is the first. Not here: which names exist in SQL, who may see them, receipts.

mod secret;

pub mod postgres;

pub use secret::{SecretError, SecretSource, SecretText};
