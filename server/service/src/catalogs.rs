//! Connectors for the catalogs of the configuration: which kind, where their secrets are, who drives them.

use std::sync::Arc;

use owlake_engine::Connector;
use owlake_engine::runtime::Runtimes;
use owlake_fault::{Code, Fault};
use owlake_federation::SecretSource;
use owlake_federation::postgres::{PostgresConnector, Spawner};

use crate::config::{CatalogConfig, Environment};

/// Variables as they were when the process began; files as they are when asked for.
#[derive(Debug)]
struct References(Environment);

impl SecretSource for References {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).map(str::to_owned)
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// A connector and the name of its catalog.
pub(crate) type Named = (String, Arc<dyn Connector>);

/// Opens the connectors. None of them connects: a database that is down is noticed when it is asked.
///
/// # Errors
/// A connector that does not exist, or properties that are missing, unknown or wrong.
pub(crate) fn open(
    catalogs: Vec<CatalogConfig>,
    environment: Environment,
    runtimes: &Runtimes,
) -> Result<Vec<Named>, Fault> {
    let secrets: Arc<dyn SecretSource> = Arc::new(References(environment));
    let mut opened = Vec::with_capacity(catalogs.len());
    for catalog in catalogs {
        if !catalog.name_is_usable() {
            let what = format!("`{}` is not usable as the name of a catalog", catalog.name);
            let hint = "It is lower case, of letters, digits, `_`, `-` and `@`, and nobody else's.";
            return Err(Fault::new(Code::InvalidArguments, what).with_hint(hint));
        }
        if !PostgresConnector::NAMES.contains(&catalog.connector.as_str()) {
            let what = format!(
                "catalog `{}`: connector `{}` does not exist",
                catalog.name, catalog.connector
            );
            return Err(Fault::new(Code::InvalidArguments, what).with_hint("There is `postgresql`."));
        }
        let runtimes = runtimes.clone();
        let spawner = Spawner::new(move |work| runtimes.spawn_io(work));
        let secrets = Arc::clone(&secrets);
        let connector = PostgresConnector::open(&catalog.name, &catalog.properties, secrets, spawner)?;
        opened.push((catalog.name, Arc::new(connector) as Arc<dyn Connector>));
    }
    Ok(opened)
}
