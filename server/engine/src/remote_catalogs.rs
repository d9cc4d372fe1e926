//! Catalogs over other databases: of the configuration (fixed) or made by SQL (kept in `ledger.db`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use owlake_catalog::CatalogStore;
use owlake_fault::{Code, Fault};
use owlake_metering::Ledger;
use serde::{Deserialize, Serialize};

use crate::connector::Connector;
use crate::context::DEFAULT_CATALOG;
use crate::remote_store::RemoteStore;
use crate::resolve::{INFORMATION_SCHEMA, SYSTEM_SCHEMA};

/// Catalogs of one server.
const MOST: usize = 1_000;

/// Makes connectors for catalogs that SQL defines: whoever puts the engine together knows which kinds there are.
pub trait ConnectorFactory: Send + Sync + fmt::Debug {
    /// A connector under a catalog's name. Nothing connects yet.
    ///
    /// # Errors
    /// A kind that does not exist; properties that are missing, unknown, wrong, or not for SQL. No text holds a value.
    fn open(
        &self,
        catalog: &str,
        connector: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn Connector>, Fault>;
}

/// Whether a name can stand for a catalog: Athena's characters, lower case, and nobody else's name.
pub fn catalog_name_is_usable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_@-".contains(c);
    (1..=127).contains(&name.len())
        && name.chars().all(plain)
        && ![DEFAULT_CATALOG, SYSTEM_SCHEMA, INFORMATION_SCHEMA].contains(&name)
}

/// A catalog over another database.
#[derive(Debug, Clone)]
pub(crate) struct RemoteCatalog {
    pub connector: Arc<dyn Connector>,
    pub store: Arc<dyn CatalogStore>,
    fixed: bool,
}

impl RemoteCatalog {
    pub(crate) fn new(connector: Arc<dyn Connector>, fixed: bool) -> Self {
        Self {
            store: Arc::new(RemoteStore(Arc::clone(&connector))),
            connector,
            fixed,
        }
    }
}

/// A catalog as the ledger keeps it; secrets as they were written.
#[derive(Serialize, Deserialize)]
struct Definition {
    connector: String,
    properties: BTreeMap<String, String>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct RemoteCatalogs {
    catalogs: Arc<RwLock<BTreeMap<String, RemoteCatalog>>>,
    ledger: Option<Arc<Ledger>>,
    factory: Option<Arc<dyn ConnectorFactory>>,
    /// One change at a time: what is checked is what is written.
    changing: tokio::sync::Mutex<()>,
}

impl RemoteCatalogs {
    /// Those of the configuration, and those of the ledger whose names it has not taken since. One that cannot be
    /// opened any more stays stored, is not there, and can be dropped.
    pub(crate) fn open(
        fixed: BTreeMap<String, Arc<dyn Connector>>,
        ledger: Arc<Ledger>,
        factory: Option<Arc<dyn ConnectorFactory>>,
    ) -> Self {
        let mut catalogs: BTreeMap<String, RemoteCatalog> = BTreeMap::new();
        for (name, definition) in ledger.stored_catalogs() {
            let Some(factory) = &factory else { continue };
            let opened = serde_json::from_str::<Definition>(definition)
                .map_err(|_| Fault::new(Code::GenericInternalError, "its definition cannot be read"))
                .and_then(|found| factory.open(name, &found.connector, &found.properties));
            match opened {
                Ok(connector) => {
                    catalogs.insert(name.clone(), RemoteCatalog::new(connector, false));
                }
                Err(fault) => tracing::warn!(catalog = name, %fault, "a catalog cannot be opened"),
            }
        }
        let fixed = fixed
            .into_iter()
            .map(|(name, connector)| (name, RemoteCatalog::new(connector, true)));
        catalogs.extend(fixed);
        Self {
            catalogs: Arc::new(RwLock::new(catalogs)),
            ledger: Some(ledger),
            factory,
            changing: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<RemoteCatalog> {
        self.read(|catalogs| catalogs.get(name).cloned())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.read(|catalogs| catalogs.keys().cloned().collect())
    }

    /// CREATE; durable when this returns. False where it exists and that is fine.
    pub(crate) async fn create(
        &self,
        name: String,
        connector: String,
        properties: BTreeMap<String, String>,
        if_not_exists: bool,
    ) -> Result<bool, Fault> {
        let (Some(factory), Some(ledger)) = (&self.factory, &self.ledger) else {
            let what = "catalogs cannot be made by SQL here";
            return Err(Fault::new(Code::NotSupported, what));
        };
        let _one = self.changing.lock().await;
        if name == DEFAULT_CATALOG || self.get(&name).is_some() {
            if if_not_exists {
                return Ok(false);
            }
            return Err(Fault::new(
                Code::AlreadyExists,
                format!("catalog `{name}` exists"),
            ));
        }
        if !catalog_name_is_usable(&name) {
            let shown: String = name.chars().take(64).collect();
            let what = format!("`{}` cannot be a catalog's name", shown.escape_debug());
            return Err(Fault::new(Code::InvalidArguments, what)
                .with_hint("Use at most 127 of a-z, 0-9, `_`, `@` and `-`, and no reserved name."));
        }
        if self.read(BTreeMap::len) >= MOST {
            let what = format!("there are {MOST} catalogs, which is the limit");
            return Err(Fault::new(Code::InvalidArguments, what));
        }
        let opened = factory.open(&name, &connector, &properties)?;
        let definition = Definition {
            connector,
            properties,
        };
        let definition = serde_json::to_string(&definition)
            .map_err(|e| Fault::new(Code::GenericInternalError, "internal error").with_source(e))?;
        let (catalogs, made) = (Arc::clone(&self.catalogs), name.clone());
        let insert = move || {
            write(&catalogs, |catalogs| {
                catalogs.insert(made, RemoteCatalog::new(opened, false))
            });
        };
        ledger.put_catalog(name, definition, insert).await?;
        Ok(true)
    }

    /// DROP; queries that run on it go on. False where it is missing and that is fine.
    pub(crate) async fn drop_catalog(&self, name: &str, if_exists: bool) -> Result<bool, Fault> {
        let _one = self.changing.lock().await;
        if name == DEFAULT_CATALOG {
            let what = format!("catalog `{name}` cannot be dropped");
            return Err(Fault::new(Code::NotSupported, what));
        }
        if self.get(name).is_some_and(|found| found.fixed) {
            let what = format!("catalog `{name}` comes from the configuration and is not changed by SQL");
            return Err(Fault::new(Code::NotSupported, what)
                .with_hint("Take its [[catalog]] entry away and start the server again."));
        }
        let (catalogs, gone) = (Arc::clone(&self.catalogs), name.to_owned());
        let remove = move || {
            write(&catalogs, |catalogs| catalogs.remove(&gone));
        };
        let stored = match &self.ledger {
            Some(ledger) => ledger.drop_catalog(name.to_owned(), remove).await?,
            None => {
                remove();
                false
            }
        };
        if stored || if_exists {
            return Ok(stored);
        }
        Err(Fault::new(
            Code::CatalogNotFound,
            format!("catalog `{name}` does not exist"),
        ))
    }

    fn read<T>(&self, f: impl FnOnce(&BTreeMap<String, RemoteCatalog>) -> T) -> T {
        f(&self.catalogs.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn write<T>(
    catalogs: &RwLock<BTreeMap<String, RemoteCatalog>>,
    f: impl FnOnce(&mut BTreeMap<String, RemoteCatalog>) -> T,
) -> T {
    f(&mut catalogs.write().unwrap_or_else(PoisonError::into_inner))
}
