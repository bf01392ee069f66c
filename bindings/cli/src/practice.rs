//! Which practice is meant, and where its records are: the folder of `--data` and the small file of
//! `--practice`.

use crate::args::Place;
use crate::failure::Failure;
use portal_core::net::PinSet;
use portal_server_mock::serve::Running;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// How to reach a practice.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Practice {
    /// Its origin, `https://host[:port]`.
    pub(crate) url: String,
    /// The authorities that may vouch for it, as PEM.
    pub(crate) roots_pem: String,
    /// Base64 of SHA-256 of the public keys to insist on: the one in use and at least one in reserve.
    #[serde(default)]
    pub(crate) pins: Vec<String>,
}

impl Practice {
    /// The one that runs here.
    pub(crate) fn running(running: &Running) -> Self {
        let pins = [running.leaf_spki_sha256(), running.backup_spki_sha256()];
        Self {
            url: running.base_url().to_owned(),
            roots_pem: running.ca_pem().unwrap_or_default().to_owned(),
            pins: pins.into_iter().flatten().map(str::to_owned).collect(),
        }
    }

    /// For the core.
    pub(crate) fn pin_sets(&self) -> Vec<PinSet> {
        if self.pins.is_empty() {
            return Vec::new();
        }
        vec![PinSet { spki_sha256: self.pins.clone(), expires_at: None }]
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Failure::NoPractice(path.to_owned()),
            _ => Failure::File { path: path.to_owned(), source },
        })?;
        serde_json::from_str(&text).map_err(|_| Failure::BadPractice(path.to_owned()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        if let Some(folder) = path.parent() {
            private_folder(folder)?;
        }
        let json = serde_json::to_string_pretty(self).map_err(|_| Failure::BadPractice(path.to_owned()))?;
        fs::write(path, json + "\n").map_err(Failure::file(path))
    }
}

/// The folders and files of one user of this program.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    practice: Option<PathBuf>,
}

impl Folder {
    pub(crate) fn of(place: &Place) -> Result<Self, Failure> {
        let root = match &place.data {
            Some(path) => path.clone(),
            None => data_home().ok_or(Failure::NoHome)?.join("portal"),
        };
        Ok(Self::new(root, place.practice.clone()))
    }

    /// These very places.
    pub(crate) fn new(root: PathBuf, practice: Option<PathBuf>) -> Self {
        Self { root, practice }
    }

    pub(crate) fn practice_file(&self) -> PathBuf {
        self.practice.clone().unwrap_or_else(|| self.root.join("practice.json"))
    }

    /// Where the core keeps the encrypted records.
    pub(crate) fn records(&self) -> PathBuf {
        self.root.join("records")
    }

    /// Where the development key store keeps its keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// A phone stays unlocked while its app runs, but each command here is a process of its own, and
    /// the development key store asks nobody. So commands unlock by themselves, unless the user has
    /// locked: this file remembers it.
    fn lock_mark(&self) -> PathBuf {
        self.root.join("locked")
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.lock_mark().exists()
    }

    pub(crate) fn set_locked(&self, locked: bool) -> Result<(), Failure> {
        let mark = self.lock_mark();
        if locked {
            private_folder(&self.root)?;
            return fs::write(&mark, "").map_err(Failure::file(&mark));
        }
        match fs::remove_file(&mark) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(Failure::file(&mark)(why)),
            _ => Ok(()),
        }
    }
}

fn data_home() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")))
}

fn private_folder(folder: &Path) -> Result<(), Failure> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(Failure::file(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_kind_is_refused_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("practice.json");
        assert!(matches!(Practice::read(&path), Err(Failure::NoPractice(named)) if named == path));
        for text in
            ["", "[]", "{\"url\": 3}", "{\"url\": \"https://localhost\", \"roots_pem\": \"\", \"pin\": []}"]
        {
            fs::write(&path, text).unwrap();
            assert!(matches!(Practice::read(&path), Err(Failure::BadPractice(_))), "{text}");
        }
        fs::write(&path, "{\"url\": \"https://localhost\", \"roots_pem\": \"\"}").unwrap();
        assert!(Practice::read(&path).is_ok_and(|practice| practice.pin_sets().is_empty()));
    }

    #[test]
    fn the_lock_is_remembered() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder { root: root.path().join("new"), practice: None };
        assert!(!folder.is_locked());
        folder.set_locked(true).unwrap();
        assert!(folder.is_locked());
        folder.set_locked(false).unwrap();
        folder.set_locked(false).unwrap();
        assert!(!folder.is_locked());
    }
}
