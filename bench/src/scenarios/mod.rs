//! What is measured. Rates under load are slices, which all rounds shuffle; the rest is measured once the rounds are
//! over, most of it on a host and a database of its own.

mod budget;
mod cold;
mod fill;
mod growth;
mod guest;
mod log;
mod memory;
mod modules;

use std::fmt;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::effort::Effort;
use crate::results::{Results, Slice};
use crate::site::Site;
use crate::subjects::Subject;
use crate::work::Work;

/// Numbers in flight of a full run.
const LEVELS: [usize; 6] = [1, 8, 32, 64, 256, 1024];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Commands a second, at all numbers in flight, of all
    Commands,
    /// The same with an idempotency key on every command
    Keys,
    /// A fifth of the commands rejected
    Rejections,
    /// State reads, strong and stale
    Reads,
    /// One stream for all clients
    Hot,
    /// Decide and apply in a guest and natively
    Guest,
    /// Modules compiled, loaded, swapped under load
    Modules,
    /// Streams loaded that aren't in memory, with and without snapshot
    Cold,
    /// The log read from its beginning to its end
    Log,
    /// The host's memory by aggregates in it
    Memory,
    /// Throughput on larger and larger logs
    Growth,
    /// Where the time of a command goes
    Budget,
}

impl fmt::Display for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("", PossibleValue::get_name))
    }
}

impl Scenario {
    /// All, in the order in which they are measured.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// What it has in every round.
    pub(crate) fn slices(self, effort: Effort) -> Vec<Slice> {
        let is_quick = effort == Effort::Quick;
        let of = |work, subjects: &[Subject], levels: &[usize]| {
            let at = |subject: &Subject| {
                let subject = *subject;
                levels.iter().map(move |in_flight| Slice { work, subject, in_flight: *in_flight }).collect::<Vec<_>>()
            };
            subjects.iter().flat_map(at).collect::<Vec<_>>()
        };
        let peers = [Subject::PostgresEs, Subject::PostgresEsTen];
        match self {
            Self::Commands if is_quick => [
                of(Work::Accounts, &[Subject::Http], &[1, 8, 64, 256]),
                of(Work::Accounts, &[Subject::Bulk], &[256, 1024]),
                of(Work::Accounts, &peers, &[64, 256]),
                of(Work::Accounts, &peers[..1], &[8]),
                of(Work::Accounts, &[Subject::Seed], &[64]),
                of(Work::Accounts, &[Subject::Raw], &[1, 64]),
            ]
            .concat(),
            Self::Commands => {
                let all = [
                    Subject::Http,
                    Subject::Bulk,
                    Subject::PostgresEs,
                    Subject::PostgresEsTen,
                    Subject::Seed,
                    Subject::Raw,
                ];
                distinct(of(Work::Accounts, &all, &LEVELS))
            }
            Self::Keys if is_quick => {
                [of(Work::Keyed, &[Subject::Http], &[256]), of(Work::Keyed, &[Subject::Bulk], &[1024])].concat()
            }
            Self::Keys => of(Work::Keyed, &[Subject::Http, Subject::Bulk], &LEVELS),
            Self::Rejections if is_quick => of(Work::Rejections, &[Subject::Http], &[64]),
            Self::Rejections => {
                let rates =
                    of(Work::Rejections, &[Subject::Http, Subject::PostgresEs, Subject::PostgresEsTen], &[1, 64, 256]);
                distinct(rates)
            }
            Self::Reads => {
                let levels: &[usize] = if is_quick { &[64] } else { &[1, 64, 256] };
                let strong = of(Work::Reads, &[Subject::Http, Subject::PostgresEs, Subject::PostgresEsTen], levels);
                distinct([strong, of(Work::StaleReads, &[Subject::Http], levels)].concat())
            }
            Self::Hot => {
                let levels: &[usize] = if is_quick { &[64] } else { &[1, 8, 64, 256] };
                distinct(of(Work::OneStream, &[Subject::Http, Subject::PostgresEs, Subject::PostgresEsTen], levels))
            }
            Self::Guest | Self::Modules | Self::Cold | Self::Log | Self::Memory | Self::Growth | Self::Budget => {
                Vec::new()
            }
        }
    }
}

/// Without what is there already: up to ten in flight both configurations of the peer are the same.
fn distinct(mut slices: Vec<Slice>) -> Vec<Slice> {
    slices.retain(|slice| slice.subject != Subject::PostgresEsTen || slice.in_flight > 10);
    slices
}

/// Measures what isn't in the rounds; nothing where all of a scenario is.
pub(crate) async fn measure(
    scenario: Scenario,
    site: &Site,
    folder: &Path,
    effort: Effort,
    results: &mut Results,
) -> Result<()> {
    match scenario {
        Scenario::Commands | Scenario::Keys | Scenario::Rejections | Scenario::Reads | Scenario::Hot => Ok(()),
        Scenario::Guest => guest::measure(site, results),
        Scenario::Modules => modules::measure(site, folder, results).await,
        Scenario::Cold => cold::measure(site, folder, effort, results).await,
        Scenario::Log => log::measure(site, folder, effort, results).await,
        Scenario::Memory => memory::measure(site, folder, effort, results).await,
        Scenario::Growth => growth::measure(site, folder, effort, results).await,
        Scenario::Budget => budget::measure(site, effort, results).await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    fn slices(effort: Effort) -> Vec<Slice> {
        Scenario::all().flat_map(|scenario| scenario.slices(effort)).collect()
    }

    #[test]
    fn nothing_is_measured_twice() {
        for effort in [Effort::Quick, Effort::Full] {
            let slices = slices(effort);
            let distinct: HashSet<_> = slices.iter().collect();
            assert_eq!(distinct.len(), slices.len(), "{effort:?}");
        }
    }

    #[test]
    fn a_quick_run_has_both_sides_of_the_ratios_and_stays_quick() {
        let quick = slices(Effort::Quick);
        let has = |work, subject, in_flight| quick.contains(&Slice { work, subject, in_flight });
        for (subject, in_flight) in [
            (Subject::Http, 1),
            (Subject::Http, 64),
            (Subject::Http, 256),
            (Subject::PostgresEs, 64),
            (Subject::PostgresEs, 256),
            (Subject::Seed, 64),
            (Subject::Raw, 1),
            (Subject::Raw, 64),
            (Subject::Bulk, 1024),
        ] {
            assert!(has(Work::Accounts, subject, in_flight), "{subject} {in_flight}");
        }
        assert!(has(Work::OneStream, Subject::Http, 64) && has(Work::OneStream, Subject::PostgresEs, 64));
        let timing = Effort::Quick.timing();
        let each = timing.warm_up + timing.measure + Duration::from_millis(300);
        let rounds = u32::try_from(quick.len() * Effort::Quick.rounds()).unwrap();
        assert!(each * rounds < Duration::from_secs(300), "{:?} of rounds alone", each * rounds);
    }
}
