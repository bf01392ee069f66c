//! Directories and files of mode 0700 and 0600, and replacing a file so that a power cut leaves the
//! old or the new one.

use crate::error::PortalError;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

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
    let beside = path.with_extension("new");
    let mut file = private_file(&beside)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_directory(path)?;
    Ok(())
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
