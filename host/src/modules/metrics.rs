//! What becomes of modules: loads, swaps, refusals, and which ones serve.

use crate::model::metric_table;

metric_table! {
    /// Times that another set of modules began to serve, the first one at the start included.
    counter SWAPS = "everfold_module_swaps_total";
    /// Files of the modules directory that were refused: what served before serves on.
    counter REFUSALS = "everfold_module_refusals_total";
    /// Time to check and compile a module, or to take it from the cache.
    histogram LOAD_SECONDS = "everfold_module_load_seconds" in TIMES;
    /// 1 for a module and version that serves, 0 for one that did.
    gauge ACTIVE {"module", "version"} = "everfold_module_active";
    /// Files of the modules directory by state: active, superseded, refused, pending.
    gauge FILES {"state"} = "everfold_module_files";
}
