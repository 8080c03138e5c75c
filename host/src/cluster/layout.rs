//! Where a managed cluster's files are, and who may touch them: its folder, the host's lock, the socket's directory.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::ClusterError;

/// The longest path of a socket that every system takes: 104 bytes on macOS and the BSDs, 108 on Linux, one of them a NUL.
const LONGEST_SOCKET: usize = 103;
/// What PostgreSQL calls its socket.
const SOCKET: &str = ".s.PGSQL.5432";
/// Where the socket goes when the data directory's path is too long for one.
const SHORT_BASE: &str = "/tmp";
/// A log of this size, in bytes, is put aside at the next start.
const LARGE_LOG: u64 = 16 << 20;

/// The files of one managed cluster. While it lives, no other host takes the data directory.
#[derive(Debug)]
pub(super) struct Layout {
    /// The cluster's folder in the host's data directory.
    pub(super) root: PathBuf,
    /// PostgreSQL's own data directory.
    pub(super) data: PathBuf,
    /// The directory of the socket, for its owner alone.
    pub(super) socket_dir: PathBuf,
    /// PostgreSQL's log.
    pub(super) log: PathBuf,
    _lock: File,
}

impl Layout {
    /// Makes the folders that are missing and takes the lock.
    pub(super) fn open(data_dir: &Path) -> Result<Self, ClusterError> {
        fs::create_dir_all(data_dir).map_err(ClusterError::file("make", data_dir))?;
        let data_dir = fs::canonicalize(data_dir).map_err(ClusterError::file("find", data_dir))?;
        let root = data_dir.join("postgres");
        make_private(&root).map_err(ClusterError::file("make", &root))?;
        let lock = take_lock(&data_dir, &root.join("lock"))?;
        let socket_dir = socket_dir(&root);
        make_private(&socket_dir).map_err(ClusterError::file("make", &socket_dir))?;
        if !socket_dir.starts_with(&root) {
            check_owned(&socket_dir, &root)?;
        }
        Ok(Self { data: root.join("data"), log: root.join("postgres.log"), root, socket_dir, _lock: lock })
    }

    /// The user and group that own the cluster's data; `None` before there is any.
    pub(super) fn owner(&self) -> Option<(u32, u32)> {
        fs::metadata(&self.data).ok().map(|data| (data.uid(), data.gid()))
    }

    /// Hands the cluster's files to a user, so that PostgreSQL can run as that one.
    pub(super) fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        give_tree(&self.root, uid, gid)?;
        give_tree(&self.socket_dir, uid, gid)
    }

    /// Opens the log to append to it. A large one is put aside first.
    pub(super) fn open_log(&self) -> Result<File, ClusterError> {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LARGE_LOG) {
            let old = self.log.with_extension("log.old");
            fs::rename(&self.log, &old).map_err(ClusterError::file("put aside", &self.log))?;
        }
        let open = OpenOptions::new().create(true).append(true).open(&self.log);
        open.map_err(ClusterError::file("open", &self.log))
    }

    /// Removes the socket's directory where it isn't in the cluster's folder.
    pub(super) fn tidy(&self) {
        if !self.socket_dir.starts_with(&self.root) {
            // Whatever is left is empty, private and used again by the next start.
            let _ = fs::remove_dir(&self.socket_dir);
        }
    }
}

/// Locks the data directory for this process. The system lets go of the lock when the process ends, however it ends.
fn take_lock(data_dir: &Path, path: &Path) -> Result<File, ClusterError> {
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let mut lock = open.map_err(ClusterError::file("open", path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
            let holder = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            return Err(ClusterError::InUse { data_dir: data_dir.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(ClusterError::file("lock", path)(source)),
    }
    let note = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    note.map_err(ClusterError::file("write", path))?;
    Ok(lock)
}

/// The directory of the socket of a cluster that some host holds.
pub(super) fn running_socket_dir(data_dir: &Path) -> Option<PathBuf> {
    let root = fs::canonicalize(data_dir).ok()?.join("postgres");
    let lock = File::open(root.join("lock")).ok()?;
    let held = matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock));
    let dir = socket_dir(&root);
    (held && dir.join(SOCKET).exists()).then_some(dir)
}

/// Makes a directory that only its owner may enter, unless it's there.
fn make_private(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The directory for the socket: in the cluster's folder where that's short enough, else one with a short name that
/// belongs to this folder alone.
fn socket_dir(root: &Path) -> PathBuf {
    let near = root.join("run");
    // Connection URLs are text.
    if near.to_str().is_some() && near.as_os_str().len() + 1 + SOCKET.len() <= LONGEST_SOCKET {
        return near;
    }
    let hash = Sha256::digest(root.as_os_str().as_bytes());
    let name: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Path::new(SHORT_BASE).join(format!("everfold-{name}"))
}

/// Anyone may make a directory under `/tmp`: one that was there must be ours, as private as we make it, and no link.
fn check_owned(dir: &Path, root: &Path) -> Result<(), ClusterError> {
    let found = fs::symlink_metadata(dir).map_err(ClusterError::file("look at", dir))?;
    let ours = fs::metadata(root).map_err(ClusterError::file("look at", root))?.uid();
    let refuse = |reason| Err(ClusterError::SocketDir { dir: dir.to_owned(), reason });
    if !found.is_dir() {
        return refuse("it's there, and not a directory");
    }
    if found.uid() != ours && found.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        return refuse("other users may enter it");
    }
    Ok(())
}

/// Changes the owner of a directory and all in it, without following links.
fn give_tree(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    // The lock stays the host's: it says nothing to PostgreSQL.
    if (found.uid(), found.gid()) != (uid, gid) && path.file_name() != Some(OsStr::new("lock")) {
        lchown(path, Some(uid), Some(gid))?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give_tree(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_data_directory_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let first = Layout::open(dir.path()).unwrap();
        let message = Layout::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("(process {})", std::process::id())), "{message}");
        drop(first);
        Layout::open(dir.path()).unwrap();
    }

    #[test]
    fn the_folders_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        for folder in [&layout.root, &layout.socket_dir] {
            assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700, "{}", folder.display());
        }
    }

    #[test]
    fn a_socket_path_always_fits() {
        for length in [1, 20, 80, 85, 90, 200] {
            let root = Path::new("/").join("d".repeat(length));
            let dir = socket_dir(&root);
            assert!(dir.join(SOCKET).as_os_str().len() <= LONGEST_SOCKET);
            assert_eq!(dir.starts_with(&root), length <= 84, "{length}");
        }
        let latin1 = Path::new("/").join(OsStr::from_bytes(b"d\xe9"));
        assert!(socket_dir(&latin1).to_str().is_some());
        assert_ne!(socket_dir(Path::new(&"/a".repeat(60))), socket_dir(Path::new(&"/b".repeat(60))));
    }

    #[test]
    fn an_open_directory_is_refused_for_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        check_owned(dir.path(), dir.path()).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let message = check_owned(dir.path(), dir.path()).unwrap_err().to_string();
        assert!(message.contains("other users may enter it"), "{message}");
    }
}
