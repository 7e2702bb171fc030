use std::fs;
use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};

use super::super::{DATABASE_FILE, OpenError};
use super::*;

/// A data directory with a store that has something in it, closed.
async fn used_directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let bucket = bucket(&store).await;
    for number in 0..200 {
        let entries = vec![(format!("key {number}"), vec![7; 1000])];
        bucket.set_many(entries).await.unwrap();
    }
    store.close().await;
    let file = directory.path().join(DATABASE_FILE);
    (directory, file)
}

/// Opens a directory that can't be opened; its file has to be the same afterwards.
fn refusal(directory: &Path) -> OpenError {
    let file = directory.join(DATABASE_FILE);
    let before = fs::read(&file).unwrap();
    let Err(error) = EmbeddedStore::open(directory) else {
        panic!("it was opened")
    };
    assert!(
        error.to_string().contains(file.to_str().unwrap()),
        "{error}"
    );
    assert_eq!(fs::read(&file).unwrap(), before, "the file was changed");
    error
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::InUse { .. }));
    let message = error.to_string();
    assert!(
        message.starts_with("another wharf uses this data directory"),
        "{message}"
    );
    store.close().await;
    EmbeddedStore::open(directory.path()).unwrap();
}

#[test]
fn a_file_of_another_kind_is_refused() {
    for foreign in [
        "this is not a database",
        "x",
        &"much longer than a page. ".repeat(9999),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(DATABASE_FILE), foreign).unwrap();
        let error = refusal(directory.path());
        assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    }
}

#[test]
fn a_redb_database_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::create(directory.path().join(DATABASE_FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = TableDefinition::<&str, &str>::new("theirs");
    transaction.open_table(table).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let error = EmbeddedStore::open(directory.path()).err().unwrap();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused() {
    let (directory, file) = used_directory().await;
    let database = Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = TableDefinition::<&str, u64>::new("meta");
    let mut table = transaction.open_table(meta).unwrap();
    table.insert("format", 2).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);

    let error = EmbeddedStore::open(directory.path()).err().unwrap();
    assert!(
        error.to_string().contains("its format is 2, not 1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_truncated_file_is_called_damaged() {
    let (directory, file) = used_directory().await;
    let length = fs::metadata(&file).unwrap().len();
    let truncated = fs::OpenOptions::new().write(true).open(file).unwrap();
    for part in [length / 2, 5000, 100] {
        truncated.set_len(part).unwrap();
        let error = refusal(directory.path());
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_file_with_damaged_pages_is_called_damaged() {
    let (directory, file) = used_directory().await;
    let mut bytes = fs::read(&file).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        page[1000] ^= 0x40;
    }
    fs::write(&file, bytes).unwrap();
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("data");
    fs::write(&in_the_way, "").unwrap();
    let error = EmbeddedStore::open(&in_the_way).err().unwrap();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert!(
        error.to_string().contains(in_the_way.to_str().unwrap()),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_what_is_stored() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let _store = EmbeddedStore::open(&data).unwrap();
    for (path, mode) in [(data.join(DATABASE_FILE), 0o600), (data, 0o700)] {
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            mode
        );
    }
}
