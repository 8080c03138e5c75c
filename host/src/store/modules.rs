//! Modules that the log has met: digest to number, name and version.

use super::{Store, StoreError};
use crate::model::{Digest, ModuleDescriptor};

/// What was known of a module when it was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Another digest that was registered earlier under the same name and version.
    pub other_digest: Option<Digest>,
}

impl Store {
    /// Gives the module its number, if it has none yet, and answers whether its name and version stood for something
    /// else before.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked; registering again is always safe.
    pub async fn register_module(&self, module: &ModuleDescriptor, digest: Digest) -> Result<Registered, StoreError> {
        sqlx::query!(
            "INSERT INTO everfold.modules (digest, name, version) VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING",
            &digest.0[..],
            module.name,
            module.version,
        )
        .execute(&self.pool)
        .await?;
        let rows = sqlx::query!(
            "SELECT module_id, digest FROM everfold.modules
             WHERE digest = $1 OR (name = $2 AND version = $3) ORDER BY module_id",
            &digest.0[..],
            module.name,
            module.version,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut other_digest = None;
        for row in rows {
            let found = digest_of(&row.digest)?;
            if found == digest {
                self.remember_module(digest, row.module_id);
                // What was registered later doesn't make this one the newcomer.
                break;
            }
            other_digest.get_or_insert(found);
        }
        Ok(Registered { other_digest })
    }

    /// The number of a registered module; none where it never was registered by this host.
    pub(super) fn module_id(&self, digest: &Digest) -> Option<i32> {
        self.module_ids.lock().expect("no holder panics").get(digest).copied()
    }

    fn remember_module(&self, digest: Digest, module_id: i32) {
        self.module_ids.lock().expect("no holder panics").insert(digest, module_id);
    }
}

/// A digest as its column holds it.
pub(super) fn digest_of(bytes: &[u8]) -> Result<Digest, StoreError> {
    bytes.try_into().map(Digest).map_err(|_| StoreError::Corrupt(format!("a digest of {} bytes", bytes.len())))
}
