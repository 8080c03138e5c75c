//! Compiled modules on disk, so that a restart doesn't compile them again.
//!
//! An entry is native code: whoever can write one runs code in the host. So the directory belongs to the host alone,
//! and nothing precompiled is ever taken from elsewhere. An entry carries the SHA-256 of its code, against torn
//! writes and failing disks; one that is damaged, or made by another engine, is compiled anew.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::model::Digest;

/// Entries kept, the newest: some MB each, and a developer makes many.
const MAX_ENTRIES: usize = 100;
/// Bytes of the checksum at the head of an entry.
const CHECKSUM_BYTES: usize = 32;

/// The directory of compiled modules.
pub(super) struct CompiledCache {
    dir: PathBuf,
    /// Version and settings of the engine: other engines' entries have other names.
    engine_hash: u64,
}

impl CompiledCache {
    /// Makes the directory where it's missing, and sees to it that nobody else can write to it.
    pub(super) fn open(dir: &Path, engine: &wasmtime::Engine) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let metadata = fs::metadata(dir)?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it belongs to another user, who could run code in the host; name another"));
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir: dir.to_owned(), engine_hash: hasher.finish() })
    }

    /// The compiled module, if there is a sound entry of it.
    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Component> {
        let path = self.path(digest);
        let entry = fs::read(&path).ok()?;
        let component = match checked_code(&entry) {
            Some(code) => deserialize(engine, code).map_err(|error| error.root_cause().to_string()),
            None => Err("its checksum is wrong".to_owned()),
        };
        component
            .inspect_err(|problem| tracing::warn!(path = %path.display(), problem, "a compiled module can't be used"))
            .ok()
    }

    /// Keeps a compiled module. A failure costs only the next start's time, so it's logged and forgotten.
    pub(super) fn put(&self, digest: Digest, component: &Component) {
        if let Err(error) = self.try_put(digest, component) {
            tracing::warn!(dir = %self.dir.display(), %error, "a compiled module can't be kept");
        }
    }

    fn try_put(&self, digest: Digest, component: &Component) -> io::Result<()> {
        let code = component.serialize().map_err(|error| io::Error::other(error.to_string()))?;
        let temporary = self.dir.join(format!(".{digest}-{}.tmp", uuid::Uuid::new_v4().simple()));
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
                file.write_all(&Sha256::digest(&code))?;
                file.write_all(&code)
            });
        if let Err(error) = written.and_then(|()| fs::rename(&temporary, self.path(digest))) {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.prune()
    }

    /// Removes all but the newest entries: those of former builds and engines, and half-written ones.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for file in fs::read_dir(&self.dir)? {
            let file = file?;
            let written = file.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((written, file.path()));
        }
        files.sort_unstable_by(|a, b| b.cmp(a));
        for (_, path) in files.iter().skip(MAX_ENTRIES) {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{digest}-{:016x}.cwasm", self.engine_hash))
    }
}

/// The code of an entry whose checksum is right.
fn checked_code(entry: &[u8]) -> Option<&[u8]> {
    let (checksum, code) = entry.split_at_checked(CHECKSUM_BYTES)?;
    (Sha256::digest(code).as_slice() == checksum).then_some(code)
}

#[expect(unsafe_code, reason = "compiled code can be taken back in no other way")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must be the unmodified output of `Component::serialize`. They come from a file that only this
    // process's user can write, carry the checksum that was written with them, and are copied, so that a later change
    // of the file has no effect. The engine itself refuses code of another version or configuration.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn the_directory_is_private_also_if_it_was_not() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        CompiledCache::open(dir.path(), &wasmtime::Engine::default()).expect("opens");
        assert_eq!(fs::metadata(dir.path()).expect("exists").mode() & 0o777, 0o700);
    }

    #[test]
    fn a_damaged_entry_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let engine = wasmtime::Engine::default();
        let cache = CompiledCache::open(dir.path(), &engine).expect("opens");
        let digest = Digest([7; 32]);
        assert!(cache.get(&engine, digest).is_none());
        cache.put(digest, &Component::new(&engine, EMPTY).expect("compiles"));
        assert!(cache.get(&engine, digest).is_some());

        let mut entry = fs::read(cache.path(digest)).expect("is there");
        *entry.last_mut().expect("has bytes") ^= 1;
        fs::write(cache.path(digest), &entry).expect("written");
        assert!(cache.get(&engine, digest).is_none());
        fs::write(cache.path(digest), &entry[..10]).expect("written");
        assert!(cache.get(&engine, digest).is_none());
    }
}
