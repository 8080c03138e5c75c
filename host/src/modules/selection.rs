//! Which of the accepted modules serve: of each name the newest, and of each aggregate type one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use crate::model::AggregateType;
use crate::runtime::{Generation, Module};

/// A module that may serve.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) file: String,
    pub(super) modified: SystemTime,
    pub(super) module: Arc<Module>,
}

/// What is to become of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Active,
    Superseded,
    Refused(String),
}

/// The fate of every candidate.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) fates: Vec<(Candidate, Fate)>,
}

impl Selection {
    /// The modules that are to serve.
    pub(super) fn modules(&self) -> Vec<Arc<Module>> {
        let active = self.fates.iter().filter(|(_, fate)| *fate == Fate::Active);
        active.map(|(candidate, _)| Arc::clone(&candidate.module)).collect()
    }
}

/// Who has an aggregate type, as `name version`.
type Claims = HashMap<AggregateType, (String, String)>;

/// Chooses. An aggregate type stays with the module name that serves it now, as long as that one still claims it;
/// else the earlier file has it. So no update takes another module's types away.
pub(super) fn select(candidates: Vec<Candidate>, current: &Generation) -> Selection {
    let mut by_name: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
    for candidate in candidates {
        by_name.entry(candidate.module.descriptor().name.clone()).or_default().push(candidate);
    }
    let mut claims = Claims::new();
    for module in current.modules().iter().filter(|module| by_name.contains_key(&module.descriptor().name)) {
        claim(&mut claims, module);
    }
    let mut names: Vec<_> = by_name.into_values().collect();
    for versions in &mut names {
        versions.sort_by(|a, b| (b.modified, &b.file).cmp(&(a.modified, &a.file)));
    }
    names.sort_by(|a, b| (a[0].modified, &a[0].file).cmp(&(b[0].modified, &b[0].file)));

    let mut selection = Selection::default();
    for versions in names {
        let mut chosen = false;
        for candidate in versions {
            let fate = match foreign_claim(&claims, &candidate.module) {
                _ if chosen => Fate::Superseded,
                Some(reason) => Fate::Refused(reason),
                None => Fate::Active,
            };
            if fate == Fate::Active {
                chosen = true;
                claim(&mut claims, &candidate.module);
            }
            selection.fates.push((candidate, fate));
        }
    }
    selection
}

fn claim(claims: &mut Claims, module: &Module) {
    let descriptor = module.descriptor();
    for aggregate_type in module.aggregate_types() {
        claims.insert(aggregate_type.clone(), (descriptor.name.clone(), descriptor.version.clone()));
    }
}

/// Why a module can't have one of its aggregate types.
fn foreign_claim(claims: &Claims, module: &Module) -> Option<String> {
    let descriptor = module.descriptor();
    descriptor.aggregates.iter().find_map(|aggregate| {
        let aggregate_type = AggregateType::new(&aggregate.aggregate_type).ok()?;
        let (name, version) = claims.get(&aggregate_type)?;
        (*name != descriptor.name).then(|| {
            format!(
                "module {} {} has aggregate type {:?}, which module {name} {version} serves; remove one of the two, or \
                 rename the type",
                descriptor.name,
                descriptor.version,
                aggregate_type.as_str(),
            )
        })
    })
}
