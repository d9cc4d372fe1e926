//! An S3 server in memory: the real protocol over HTTP/1.1 on 127.0.0.1 with signature check, conditional reads and
//! writes, paged listings; a log of every request and byte as the store sees it; latency, seeded faults and gates.
//! For the demo, tests and benches: nothing here is durable, and no other room depends on it for its work.
//!
//! s3s logs every error answer at level ERROR under the target `s3s`; a program that shows its log filters that target.

mod api;
mod body;
mod conditions;
mod connection;
mod encoding;
mod fault_plan;
mod gate;
mod journal;
mod operation;
mod range;
mod server;
mod storage;
mod wire;

pub use fault_plan::{FaultAction, FaultPlan, FaultRule};
pub use gate::Gate;
pub use journal::{Counts, RequestRecord};
pub use operation::{Operation, RequestClass};
pub use server::{Builder, MemS3};
pub use storage::{Attributes, StoredObject};
pub use wire::Latency;
