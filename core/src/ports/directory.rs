//! The app's directory: directories and files of mode 0700 and 0600, and replacing a file so that a power
//! cut leaves the old or the new one.

use super::{FileSystem, Lock, Stamp};
use crate::proof::point;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The one on a phone.
pub struct AppDirectory;

impl FileSystem for AppDirectory {
    fn make_directory(&self, path: &Path) -> Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        #[cfg(unix)]
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        Ok(())
    }

    fn make_file(&self, path: &Path) -> Result<()> {
        private_file(path).map(drop)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        fs::read(path)
    }

    fn stamp(&self, path: &Path) -> Result<Option<Stamp>> {
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&found);
        #[cfg(not(unix))]
        let number = 0;
        Ok(Some((found.len(), found.modified().ok(), number)))
    }

    fn names(&self, directory: &Path) -> Result<Vec<String>> {
        let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    /// Writes beside, syncs, renames, syncs the directory.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let beside = beside(path);
        let result = write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
        point!("file.renamed");
        if result.is_err() {
            let _ = self.remove(&beside);
            return result;
        }
        self.sync_directory(path)
    }

    fn remove_unfinished(&self, path: &Path) {
        let (Some(directory), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str()))
        else {
            return;
        };
        for name in self.names(directory).into_iter().flatten() {
            let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.')?.strip_suffix("new"));
            if rest.is_some() {
                let _ = fs::remove_file(directory.join(name));
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match result {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_directory(&self, path: &Path) -> Result<()> {
        match path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }

    fn lock(&self, path: &Path) -> Result<Lock> {
        let file = private_file(path)?;
        let _ = file.lock();
        Ok(Box::new(Locked(file)))
    }

    fn try_lock(&self, path: &Path) -> Result<Option<Lock>> {
        let file = private_file(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Box::new(Locked(file)))),
        }
    }
}

struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Said aloud: a process that was forked meanwhile holds a copy of the file, and closing ours alone
        // would leave it locked.
        let _ = self.0.unlock();
    }
}

/// Opens a file for writing as it is, or makes it with mode 0600.
pub(crate) fn private_file(path: &Path) -> Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A name of its own, so that two who write at once do not write into one file.
pub(crate) fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    path.with_extension(format!("{}-{}.new", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = private_file(path)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    point!("file.written");
    file.sync_all()?;
    point!("file.synced");
    Ok(())
}
