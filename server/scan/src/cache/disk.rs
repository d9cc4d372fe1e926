//! Entries on disk, one file each, in a directory that this process alone uses: for footers and data blocks.
//!
//! Nothing here is believed: an entry is served only if its whole key is in the file and its checksum holds, so a torn
//! write, a bad sector or a foreign file costs a read from the store and no more. Nothing is made durable either.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use owlake_catalog::DataDir;
use tokio::io::AsyncWriteExt;

use super::tally::Tally;
use crate::error::ScanError;

/// Start of every entry; another layout gets another one.
const MAGIC: &[u8; 8] = b"owlkch01";
/// Magic, checksum, length of the key.
const HEAD_BYTES: usize = 8 + 32 + 4;
/// Suffix of entries. Other files of the directory are left alone.
const ENTRY: &str = "entry";
/// Suffix of entries that are being written.
const PART: &str = "part";
/// Marks a directory that was made for this.
const MARKER: &str = "owlake-cache";
/// No entry may take more than this part of the space.
const LARGEST_ENTRY: u64 = 8;

/// First half of the hash of a key: the name of its file.
type Name = [u8; 16];

/// Which entries there are, least recently used first.
#[derive(Debug, Default)]
struct Index {
    /// Length, and when it was used.
    entries: HashMap<Name, (u64, u64)>,
    by_use: BTreeMap<u64, Name>,
    /// Of the entries and of those being written.
    bytes: u64,
    clock: u64,
}

impl Index {
    fn use_now(&mut self, name: Name, length: u64) {
        if let Some((_, used)) = self.entries.remove(&name) {
            self.by_use.remove(&used);
        }
        self.clock += 1;
        self.entries.insert(name, (length, self.clock));
        self.by_use.insert(self.clock, name);
    }

    fn remove(&mut self, name: &Name) {
        if let Some((length, used)) = self.entries.remove(name) {
            self.by_use.remove(&used);
            self.bytes -= length;
        }
    }

    /// Takes out the least recently used ones until `needed` more bytes fit below `max`.
    fn make_room(&mut self, needed: u64, max: u64) -> Vec<Name> {
        let mut leaving = Vec::new();
        while self.bytes + needed > max {
            let Some((_, name)) = self.by_use.first_key_value() else {
                break;
            };
            let name = *name;
            self.remove(&name);
            leaving.push(name);
        }
        leaving
    }
}

/// A bounded directory of entries. Dropping it releases the directory for another process.
#[derive(Debug)]
pub(crate) struct DiskFolder {
    dir: DataDir,
    max_bytes: u64,
    index: Mutex<Index>,
    writes: AtomicU64,
    tally: Arc<Tally>,
}

impl DiskFolder {
    /// Takes `path` for this process, makes it where it is missing, and finds what an earlier process left there.
    ///
    /// Blocking. Refused: a directory of somebody else, one that others may read, one that holds other things, one that
    /// another process uses.
    pub(crate) fn open(path: &Path, max_bytes: u64, tally: Arc<Tally>) -> Result<Self, ScanError> {
        let refused = |reason: String| ScanError::CacheDirectory {
            path: path.display().to_string(),
            reason,
        };
        let unreadable = |e: std::io::Error| refused(format!("cannot be used: {e}"));
        if path.exists() {
            check_foreign(path)
                .map_err(unreadable)?
                .map_or(Ok(()), |reason| Err(refused(reason)))?;
        }
        let dir = DataDir::lock(path)?;
        let marker = path.join(MARKER);
        std::fs::write(&marker, b"").map_err(unreadable)?;
        check_private(path, &marker)
            .map_err(unreadable)?
            .map_or(Ok(()), |reason| Err(refused(reason)))?;
        let folder = Self {
            index: Mutex::new(find_entries(path).map_err(unreadable)?),
            dir,
            max_bytes,
            writes: AtomicU64::new(0),
            tally,
        };
        let leaving = folder.with(|index| index.make_room(0, max_bytes));
        for name in leaving {
            let _ = std::fs::remove_file(folder.path(&name));
        }
        Ok(folder)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Index) -> T) -> T {
        f(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.dir.path().join(format!(
            "{}.{ENTRY}",
            blake3::Hash::from_bytes(widen(name)).to_hex().split_at(32).0
        ))
    }

    /// Bytes of its entries.
    pub(crate) fn bytes(&self) -> u64 {
        self.with(|index| index.bytes)
    }

    /// Most bytes it takes.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Whether there is an entry of `key`, damaged or not.
    pub(crate) fn holds(&self, key: &[u8]) -> bool {
        let name = name_of(key);
        self.with(|index| index.entries.contains_key(&name))
    }

    /// The entry of `key`. What does not hold its checksum is deleted and not served.
    pub(crate) async fn get(&self, key: &[u8]) -> Option<Bytes> {
        let name = name_of(key);
        let known = self.with(|index| {
            let length = index.entries.get(&name).map(|(length, _)| *length)?;
            index.use_now(name, length);
            Some(())
        });
        known?;
        let read = tokio::fs::read(self.path(&name)).await;
        if let Some(payload) = read.ok().and_then(|file| open_entry(Bytes::from(file), key)) {
            return Some(payload);
        }
        let directory = self.dir.path().display();
        tracing::warn!(%directory, "a cached entry on disk is damaged; it is read from the store again");
        self.with(|index| index.remove(&name));
        let _ = tokio::fs::remove_file(self.path(&name)).await;
        None
    }

    /// Keeps `payload` under `key`, if it may be kept at all. A failure is logged and changes nothing.
    pub(crate) async fn put(&self, key: &[u8], payload: &[u8]) {
        let name = name_of(key);
        let length = (HEAD_BYTES + key.len() + payload.len()) as u64;
        if length > self.max_bytes / LARGEST_ENTRY {
            return;
        }
        let leaving = self.with(|index| {
            if index.entries.contains_key(&name) {
                return None;
            }
            let leaving = index.make_room(length, self.max_bytes);
            index.bytes += length;
            Some(leaving)
        });
        let Some(leaving) = leaving else {
            return;
        };
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let mut writing = Writing {
            folder: self,
            bytes: length,
            part: self.path(&name).with_extension(format!("{number}.{PART}")),
        };
        for name in leaving {
            self.tally.evicted();
            let _ = tokio::fs::remove_file(self.path(&name)).await;
        }
        match self.write(&name, &writing.part, &entry(key, payload)).await {
            Ok(()) => {
                writing.bytes = 0;
                self.with(|index| {
                    // Two that wrote the same entry wrote the same file.
                    if index.entries.contains_key(&name) {
                        index.bytes -= length;
                    }
                    index.use_now(name, length);
                });
            }
            Err(error) => {
                let directory = self.dir.path().display();
                tracing::warn!(%error, %directory, "an entry cannot be cached on disk");
            }
        }
    }

    /// Written aside and renamed: nobody reads half of it.
    async fn write(&self, name: &Name, part: &Path, entry: &[u8]) -> std::io::Result<()> {
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(part).await?;
        file.write_all(entry).await?;
        file.flush().await?;
        tokio::fs::rename(part, self.path(name)).await
    }
}

/// A write under way: when it fails or its query goes away, its space is given back and its file goes.
struct Writing<'a> {
    folder: &'a DiskFolder,
    bytes: u64,
    part: PathBuf,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.folder.with(|index| index.bytes -= self.bytes);
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

fn name_of(key: &[u8]) -> Name {
    let mut name = [0; 16];
    name.copy_from_slice(&blake3::hash(key).as_bytes()[..16]);
    name
}

fn widen(name: &Name) -> [u8; 32] {
    let mut wide = [0; 32];
    wide[..16].copy_from_slice(name);
    wide
}

fn entry(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut entry = Vec::with_capacity(HEAD_BYTES + key.len() + payload.len());
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(&[0; 32]);
    entry.extend_from_slice(&length);
    entry.extend_from_slice(key);
    entry.extend_from_slice(payload);
    let checksum = blake3::hash(&entry[40..]);
    entry[8..40].copy_from_slice(checksum.as_bytes());
    entry
}

/// The payload of a file, if it is whole and `key`'s.
fn open_entry(file: Bytes, key: &[u8]) -> Option<Bytes> {
    let head = file.get(..HEAD_BYTES)?;
    let length = u32::from_le_bytes(head[40..44].try_into().ok()?);
    let end = HEAD_BYTES.checked_add(usize::try_from(length).ok()?)?;
    let whole = &head[..8] == MAGIC
        && file.get(HEAD_BYTES..end)? == key
        && blake3::hash(&file[40..]).as_bytes() == &head[8..40];
    whole.then(|| file.slice(end..))
}

/// Why an existing directory is not taken at all.
fn check_foreign(path: &Path) -> std::io::Result<Option<String>> {
    if !std::fs::symlink_metadata(path)?.is_dir() {
        return Ok(Some("is no directory".to_owned()));
    }
    let mut foreign = false;
    for file in std::fs::read_dir(path)? {
        // What the lock leaves, and the marker; a data directory has more.
        foreign |= !file?.file_name().to_string_lossy().starts_with("owlake");
    }
    let ours = path.join(MARKER).exists() || !foreign;
    Ok((!ours).then(|| "holds other files; it must be empty or a cache directory".to_owned()))
}

/// Why a directory is not private. Who we are is seen by whom a file of ours belongs to.
#[cfg(unix)]
fn check_private(path: &Path, own_file: &Path) -> std::io::Result<Option<String>> {
    use std::os::unix::fs::MetadataExt;
    let directory = std::fs::metadata(path)?;
    if directory.uid() != std::fs::metadata(own_file)?.uid() {
        return Ok(Some("belongs to another user".to_owned()));
    }
    let mode = directory.mode() & 0o777;
    Ok((mode & 0o077 != 0).then(|| format!("may be used by others (mode {mode:o}); run `chmod 700` on it")))
}

#[cfg(not(unix))]
fn check_private(_path: &Path, _own_file: &Path) -> std::io::Result<Option<String>> {
    Ok(None)
}

/// The entries that are there, oldest first; what a killed process was writing is deleted.
fn find_entries(path: &Path) -> std::io::Result<Index> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(path)? {
        let file = file?.path();
        match file.extension().and_then(|e| e.to_str()) {
            Some(PART) => {
                let _ = std::fs::remove_file(&file);
            }
            Some(ENTRY) => {
                let metadata = std::fs::metadata(&file)?;
                let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
                let hash = blake3::Hash::from_hex(format!("{stem}{}", "0".repeat(32)));
                if let Ok(hash) = hash {
                    let mut name = [0; 16];
                    name.copy_from_slice(&hash.as_bytes()[..16]);
                    found.push((metadata.modified()?, name, metadata.len()));
                }
            }
            _ => {}
        }
    }
    found.sort_unstable();
    let mut index = Index::default();
    for (_, name, length) in found {
        index.bytes += length;
        index.use_now(name, length);
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(path: &Path, max_bytes: u64) -> Result<DiskFolder, ScanError> {
        DiskFolder::open(path, max_bytes, Tally::new("block", None))
    }

    fn files(path: &Path) -> Vec<PathBuf> {
        let all = std::fs::read_dir(path).unwrap().map(|f| f.unwrap().path());
        all.filter(|f| f.extension().is_some_and(|e| e == ENTRY || e == PART))
            .collect()
    }

    #[tokio::test]
    async fn entries_outlive_the_process_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let folder = open(&path, 1 << 20).unwrap();
        folder.put(b"a", b"first").await;
        folder.put(b"b", &[7; 1000]).await;
        assert!(open(&path, 1 << 20).is_err(), "used by this process already");
        drop(folder);
        std::fs::write(path.join("0.5.part"), b"torn").unwrap();
        let folder = open(&path, 1 << 20).unwrap();
        assert_eq!(folder.get(b"a").await.unwrap().as_ref(), b"first");
        assert_eq!(folder.get(b"b").await.unwrap().as_ref(), &[7; 1000]);
        assert_eq!(folder.get(b"c").await, None);
        assert_eq!(files(&path).len(), 2);
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert!(files(&path).iter().all(|f| mode(f) == 0o600));
    }

    #[tokio::test]
    async fn no_damage_is_ever_served() {
        let dir = tempfile::tempdir().unwrap();
        let folder = open(&dir.path().join("cache"), 1 << 20).unwrap();
        let payload: Vec<u8> = (0..200).collect();
        folder.put(b"key", &payload).await;
        let whole = std::fs::read(folder.path(&name_of(b"key"))).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(open_entry(Bytes::from(damaged), b"key"), None, "byte {at}");
            assert_eq!(
                open_entry(Bytes::copy_from_slice(&whole[..at]), b"key"),
                None,
                "cut at {at}"
            );
        }
        assert_eq!(open_entry(Bytes::from(whole.clone()), b"other"), None);
        std::fs::write(folder.path(&name_of(b"key")), &whole[..100]).unwrap();
        assert_eq!(folder.get(b"key").await, None);
        assert_eq!((files(folder.dir.path()).len(), folder.bytes()), (0, 0));
        folder.put(b"key", &payload).await;
        assert_eq!(folder.get(b"key").await.unwrap().as_ref(), payload);
    }

    #[tokio::test]
    async fn space_is_bounded_and_what_was_used_last_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let folder = open(&path, 20_000).unwrap();
        folder.put(b"hot", &[1; 1000]).await;
        for i in 0..100_u32 {
            folder.put(&i.to_le_bytes(), &[2; 1000]).await;
            assert!(folder.get(b"hot").await.is_some(), "{i}");
        }
        folder.put(b"huge", &[3; 10_000]).await;
        assert_eq!(folder.get(b"huge").await, None);
        let on_disk: u64 = files(&path)
            .iter()
            .map(|f| std::fs::metadata(f).unwrap().len())
            .sum();
        assert_eq!(folder.bytes(), on_disk);
        assert!(on_disk <= 20_000 && on_disk > 15_000, "{on_disk}");
        drop(folder);
        let smaller = open(&path, 5_000).unwrap();
        assert!(smaller.bytes() <= 5_000 && smaller.bytes() > 3_000);
    }

    #[test]
    fn foreign_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| open(path, 1000).unwrap_err().to_string();
        let documents = dir.path().join("documents");
        std::fs::create_dir(&documents).unwrap();
        std::fs::write(documents.join("letter"), b"dear").unwrap();
        assert!(refused(&documents).contains("holds other files"));
        let open_to_all = dir.path().join("open");
        std::fs::create_dir(&open_to_all).unwrap();
        std::fs::set_permissions(&open_to_all, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(refused(&open_to_all).contains("mode 755"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).unwrap();
        std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
        assert!(refused(&link).contains("no directory"));
        assert!(refused(&documents.join("letter")).contains("no directory"));
    }
}
