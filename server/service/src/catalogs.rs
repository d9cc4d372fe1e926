//! Connectors for catalogs: which kinds there are, where their secrets are, who drives them.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;

use owlake_engine::runtime::Runtimes;
use owlake_engine::{Connector, ConnectorFactory};
use owlake_fault::{Code, Fault};
use owlake_federation::SecretSource;
use owlake_federation::postgres::{PostgresConnector, Spawner};

use crate::config::{CatalogConfig, Environment};

/// What statements may refer to where the configuration does not say: whoever may write CREATE CATALOG chooses where
/// a password is sent, so that nothing else of the server's environment and files is within reach.
pub(crate) const SQL_REFERENCES: &str = "ENV:PGPASSWORD, FILE:/run/secrets/";

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

/// The same, of what is on a list.
#[derive(Debug)]
struct Listed {
    all: References,
    list: Vec<String>,
}

impl Listed {
    fn new(environment: Environment, list: &str) -> Self {
        let entries = list.split(',').map(|entry| entry.trim().to_owned());
        Self {
            all: References(environment),
            list: entries.filter(|entry| !entry.is_empty()).collect(),
        }
    }

    fn has(&self, reference: &str) -> bool {
        self.list.iter().any(|entry| match entry.strip_suffix('*') {
            Some(start) => reference.starts_with(start),
            None if entry.ends_with('/') => reference.starts_with(entry.as_str()),
            None => reference == entry,
        })
    }
}

impl SecretSource for Listed {
    fn variable(&self, name: &str) -> Option<String> {
        self.has(&format!("ENV:{name}"))
            .then(|| self.all.variable(name))
            .flatten()
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        let straight = Path::new(path)
            .components()
            .all(|part| part != Component::ParentDir);
        if straight && self.has(&format!("FILE:{path}")) {
            return self.all.file(path);
        }
        Err(std::io::ErrorKind::PermissionDenied.into())
    }
}

/// Opens connectors by their kind.
#[derive(Debug)]
pub(crate) struct Factory {
    secrets: Arc<dyn SecretSource>,
    runtimes: Runtimes,
}

impl Factory {
    /// For catalogs of the configuration: every reference is followed.
    pub(crate) fn of_configuration(environment: Environment, runtimes: &Runtimes) -> Self {
        Self {
            secrets: Arc::new(References(environment)),
            runtimes: runtimes.clone(),
        }
    }

    /// For catalogs of statements: references of the list are followed.
    pub(crate) fn of_sql(environment: Environment, list: Option<&str>, runtimes: &Runtimes) -> Self {
        Self {
            secrets: Arc::new(Listed::new(environment, list.unwrap_or(SQL_REFERENCES))),
            runtimes: runtimes.clone(),
        }
    }
}

impl ConnectorFactory for Factory {
    fn open(
        &self,
        catalog: &str,
        connector: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn Connector>, Fault> {
        if !PostgresConnector::NAMES.contains(&connector) {
            let what = format!("catalog `{catalog}`: connector `{connector}` does not exist");
            return Err(Fault::new(Code::InvalidArguments, what).with_hint("There is `postgresql`."));
        }
        let runtimes = self.runtimes.clone();
        let spawner = Spawner::new(move |work| runtimes.spawn_io(work));
        let secrets = Arc::clone(&self.secrets);
        let opened = PostgresConnector::open(catalog, properties, secrets, spawner)?;
        Ok(Arc::new(opened))
    }
}

/// A connector and the name of its catalog.
pub(crate) type Named = (String, Arc<dyn Connector>);

/// Opens the connectors of the configuration. None of them connects: a database that is down is noticed when it is
/// asked.
///
/// # Errors
/// A connector that does not exist, or properties that are missing, unknown or wrong.
pub(crate) fn open(catalogs: Vec<CatalogConfig>, factory: &Factory) -> Result<Vec<Named>, Fault> {
    let mut opened = Vec::with_capacity(catalogs.len());
    for catalog in catalogs {
        if !owlake_engine::catalog_name_is_usable(&catalog.name) {
            let what = format!("`{}` is not usable as the name of a catalog", catalog.name);
            let hint = "It is lower case, of letters, digits, `_`, `-` and `@`, and nobody else's.";
            return Err(Fault::new(Code::InvalidArguments, what).with_hint(hint));
        }
        let connector = factory.open(&catalog.name, &catalog.connector, &catalog.properties)?;
        opened.push((catalog.name, connector));
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_refer_to_what_is_listed_alone() {
        let variables = [
            ("PGPASSWORD", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("DB_ONE", "c"),
        ];
        let environment = || -> Environment {
            let pairs = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            pairs.collect()
        };
        let standard = Listed::new(environment(), SQL_REFERENCES);
        assert_eq!(standard.variable("PGPASSWORD").as_deref(), Some("a"));
        assert_eq!(standard.variable("AWS_SECRET_ACCESS_KEY"), None);
        for path in ["/etc/passwd", "/run/secrets/../../etc/passwd", "/run/secrets"] {
            let refused = standard.file(path).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied, "{path}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pw");
        std::fs::write(&path, "hunter2").unwrap();
        let listed = Listed::new(
            environment(),
            &format!("ENV:DB_*, FILE:{}/", directory.path().display()),
        );
        assert_eq!(listed.variable("DB_ONE").as_deref(), Some("c"));
        assert_eq!(listed.variable("PGPASSWORD"), None);
        assert_eq!(listed.file(path.to_str().unwrap()).unwrap(), "hunter2");
    }
}
