//! Facts about backup and restore.

use std::fs;

use super::*;
use crate::model::{Database, Table};
use crate::store::CatalogStore;

fn clock() -> i64 {
    1
}

fn table(name: &str) -> Table {
    Table {
        name: name.to_owned(),
        database_name: "default".to_owned(),
        ..Table::default()
    }
}

async fn tables_of(data_dir: &Path) -> Vec<String> {
    SqliteCatalog::open(data_dir, clock)
        .unwrap()
        .table_names("default")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_backup_is_one_file_with_all_that_was_acknowledged() {
    let temp = tempfile::tempdir().unwrap();
    let (lake, copy) = (temp.path().join("lake"), temp.path().join("copy"));
    let dir = DataDir::lock(&lake).unwrap();
    let catalog = SqliteCatalog::open(&lake, clock).unwrap();
    catalog.create_table(table("a"), false).await.unwrap();
    let file = temp.path().join("backup.db");
    fs::write(&file, "an older backup").unwrap();
    catalog.backup(&file).await.unwrap();
    catalog.create_table(table("b"), false).await.unwrap();
    let beside: Vec<_> = fs::read_dir(temp.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(beside.len(), 2, "{beside:?}");

    restore(&file, &copy).unwrap();
    assert_eq!(tables_of(&copy).await, ["a"]);
    assert_eq!(
        catalog.table_names("default").await.unwrap(),
        ["a", "b"],
        "still serving"
    );
    drop((catalog, dir));
    assert_eq!(tables_of(&lake).await, ["a", "b"]);
}

#[tokio::test]
async fn a_backup_while_writing_is_a_state_that_was() {
    let temp = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(temp.path(), clock).unwrap();
    let writer = async {
        for i in 0..60 {
            // Two rows in one change, and one after it: a torn copy would show.
            let database = Database {
                name: format!("d{i:03}"),
                ..Database::default()
            };
            catalog.create_database(database, false).await.unwrap();
            let table = Table {
                database_name: format!("d{i:03}"),
                ..table("t")
            };
            catalog.create_table(table, false).await.unwrap();
        }
    };
    let copier = async {
        for i in 0..6 {
            let copy = temp.path().join(format!("copy{i}"));
            let file = temp.path().join(format!("{i}.db"));
            catalog.backup(&file).await.unwrap();
            restore(&file, &copy).unwrap();
            let restored = SqliteCatalog::open(&copy, clock).unwrap();
            let mut names: Vec<_> = restored
                .databases()
                .await
                .unwrap()
                .iter()
                .map(|d| d.name.clone())
                .collect();
            names.retain(|n| n != "default");
            let expected: Vec<_> = (0..names.len()).map(|i| format!("d{i:03}")).collect();
            assert_eq!(names, expected);
            for name in names.iter().rev().skip(1) {
                assert_eq!(restored.table_names(name).await.unwrap(), ["t"]);
            }
        }
    };
    tokio::join!(writer, copier);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_backup_leaves_the_catalogs_own_locks_alone() {
    let temp = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(temp.path(), clock).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(temp.path().join(CATALOG_FILE)).unwrap());
    let lock_count = || {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let inode = format!(":{inode}");
        locks
            .lines()
            .filter(|l| l.split_whitespace().any(|word| word.ends_with(&inode)))
            .count()
    };
    catalog.create_table(table("a"), false).await.unwrap();
    let before = lock_count();
    catalog.backup(&temp.path().join("backup.db")).await.unwrap();
    assert_eq!(
        (before, lock_count()),
        (1, 1),
        "read lock on the file, as WAL mode keeps one"
    );
}

#[tokio::test]
async fn a_backup_onto_the_catalog_itself_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(temp.path(), clock).unwrap();
    let roundabout = temp.path().join(".").join(CATALOG_FILE);
    assert!(matches!(
        catalog.backup(&roundabout).await,
        Err(CatalogError::Io { .. })
    ));
    catalog.create_table(table("a"), false).await.unwrap();
    drop(catalog);
    assert_eq!(tables_of(temp.path()).await, ["a"]);
}

#[tokio::test]
async fn a_catalog_in_memory_can_be_backed_up() {
    let temp = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::in_memory(clock).unwrap();
    catalog.create_table(table("a"), false).await.unwrap();
    let file = temp.path().join("backup.db");
    catalog.backup(&file).await.unwrap();
    restore(&file, &temp.path().join("lake")).unwrap();
    assert_eq!(tables_of(&temp.path().join("lake")).await, ["a"]);
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::in_memory(clock).unwrap();
    let taken = temp.path().join("taken");
    fs::create_dir_all(taken.join("by a directory")).unwrap();
    assert!(matches!(
        catalog.backup(&taken).await,
        Err(CatalogError::Io { .. })
    ));
    assert!(matches!(
        catalog.backup(&temp.path().join("no/such/dir")).await,
        Err(CatalogError::Io { .. })
    ));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn restore_refuses_a_directory_in_use() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("backup.db");
    SqliteCatalog::in_memory(clock)
        .unwrap()
        .backup(&file)
        .await
        .unwrap();
    let dir = DataDir::lock(&temp.path().join("lake")).unwrap();
    assert!(matches!(
        restore(&file, dir.path()),
        Err(CatalogError::Locked { holder: Some(_) })
    ));
}

#[tokio::test]
async fn restore_replaces_a_catalog_that_was_killed_together_with_its_log() {
    let temp = tempfile::tempdir().unwrap();
    let (lake, file) = (temp.path().join("lake"), temp.path().join("backup.db"));
    let dir = DataDir::lock(&lake).unwrap();
    let catalog = SqliteCatalog::open(&lake, clock).unwrap();
    catalog.create_table(table("a"), false).await.unwrap();
    catalog.backup(&file).await.unwrap();
    catalog.create_table(table("b"), false).await.unwrap();
    // What a kill leaves: the log that has not been folded in yet.
    let killed = temp.path().join("killed");
    fs::create_dir(&killed).unwrap();
    for name in ["catalog.db", "catalog.db-wal"] {
        fs::copy(lake.join(name), killed.join(name)).unwrap();
    }
    drop((catalog, dir));
    assert!(fs::metadata(killed.join("catalog.db-wal")).unwrap().len() > 0);
    restore(&file, &killed).unwrap();
    assert_eq!(tables_of(&killed).await, ["a"]);
}

#[tokio::test]
async fn restore_refuses_damaged_foreign_newer_and_missing_files_and_keeps_the_old_catalog() {
    let temp = tempfile::tempdir().unwrap();
    let lake = temp.path().join("lake");
    fs::create_dir(&lake).unwrap();
    let catalog = SqliteCatalog::open(&lake, clock).unwrap();
    for i in 0..50 {
        catalog
            .create_table(table(&format!("t{i}")), false)
            .await
            .unwrap();
    }
    let good = temp.path().join("good.db");
    catalog.backup(&good).await.unwrap();
    drop(catalog);
    let file = temp.path().join("bad.db");

    let mut damaged = fs::read(&good).unwrap();
    let half = damaged.len() / 2;
    damaged[half..half + 8000].fill(0xA5);
    fs::write(&file, damaged).unwrap();
    let refused = restore(&file, &lake);
    assert!(
        matches!(refused, Err(CatalogError::NotACatalog { .. })),
        "{refused:?}"
    );

    fs::write(&file, "text").unwrap();
    assert!(matches!(
        restore(&file, &lake),
        Err(CatalogError::NotACatalog { .. })
    ));
    fs::write(&file, "").unwrap();
    assert!(matches!(
        restore(&file, &lake),
        Err(CatalogError::NotACatalog { .. })
    ));

    fs::copy(&good, &file).unwrap();
    Connection::open(&file)
        .unwrap()
        .pragma_update(None, "user_version", 1000)
        .unwrap();
    assert!(matches!(
        restore(&file, &lake),
        Err(CatalogError::NewerSchema { found: 1000, .. })
    ));
    assert!(matches!(
        restore(&temp.path().join("nope.db"), &lake),
        Err(CatalogError::Io { .. })
    ));

    assert_eq!(tables_of(&lake).await.len(), 50);
}

#[tokio::test]
async fn restore_replaces_a_catalog_that_is_damaged() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("backup.db");
    let catalog = SqliteCatalog::in_memory(clock).unwrap();
    catalog.create_table(table("a"), false).await.unwrap();
    catalog.backup(&file).await.unwrap();
    fs::write(temp.path().join(CATALOG_FILE), "rubbish".repeat(1000)).unwrap();
    restore(&file, temp.path()).unwrap();
    assert_eq!(tables_of(temp.path()).await, ["a"]);
}
