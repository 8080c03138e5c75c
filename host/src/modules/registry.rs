//! Where modules are made known to the log before they decide anything.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::model::{Digest, ModuleDescriptor};
use crate::store::{Registered, Store, StoreError};

/// Keeps which digest stands for which name and version. The store does; tests have one of their own.
pub trait ModuleRegistry: Send + Sync {
    /// Makes a module known, and answers what its name and version stood for before. Doing it again is always safe.
    fn register<'a>(
        &'a self,
        module: &'a ModuleDescriptor,
        digest: Digest,
    ) -> BoxFuture<'a, Result<Registered, StoreError>>;
}

impl ModuleRegistry for Store {
    fn register<'a>(
        &'a self,
        module: &'a ModuleDescriptor,
        digest: Digest,
    ) -> BoxFuture<'a, Result<Registered, StoreError>> {
        self.register_module(module, digest).boxed()
    }
}
