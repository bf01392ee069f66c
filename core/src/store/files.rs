//! Directories and files of mode 0700 and 0600, and replacing a file so that a power cut leaves the
//! old or the new one.

use crate::error::PortalError;
use crate::proof::point;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a directory that only this user of the machine can enter.
pub(crate) fn private_directory(path: &Path) -> Result<(), PortalError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

/// Opens a file for writing as it is, or makes it with mode 0600.
pub(crate) fn private_file(path: &Path) -> Result<File, PortalError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?)
}

/// Writes beside, syncs, renames, syncs the directory.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), PortalError> {
    let beside = beside(path);
    let result = write(&beside, bytes).and_then(|()| Ok(fs::rename(&beside, path)?));
    point!("file.renamed");
    if result.is_err() {
        let _ = remove(&beside);
        return result;
    }
    sync_directory(path)
}

/// A name of its own, so that two who write at once do not write into one file.
pub(super) fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    path.with_extension(format!("{}-{}.new", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), PortalError> {
    let mut file = private_file(path)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    point!("file.written");
    file.sync_all()?;
    point!("file.synced");
    Ok(())
}

/// Removes what a kill left of [`replace`]. A living writer whose file this takes gets an error and
/// the file of before.
pub(crate) fn remove_unfinished(path: &Path) {
    let (Some(directory), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str()))
    else {
        return;
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest =
            name.to_str().and_then(|name| name.strip_prefix(stem)?.strip_prefix('.')?.strip_suffix("new"));
        if rest.is_some() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes a rename or removal in the directory of `path` durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), PortalError> {
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Removes a file or directory; Ok when there is none.
pub(crate) fn remove(path: &Path) -> Result<(), PortalError> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
