//! Medians and ratios.

/// The median; `None` of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The median of `above / below` over the rounds that have both. A machine's bad minute then spoils both sides of one
/// ratio, and not one side of all.
pub(crate) fn paired_ratio(above: &[Option<f64>], below: &[Option<f64>]) -> Option<f64> {
    let both = above.iter().zip(below).filter_map(|(above, below)| Some((*above)? / (*below)?));
    median(both)
}

/// Round by round the best of several.
pub(crate) fn best_of(candidates: &[Vec<Option<f64>>]) -> Vec<Option<f64>> {
    let rounds = candidates.iter().map(Vec::len).max().unwrap_or(0);
    let best = |round: usize| {
        let values = candidates.iter().filter_map(|values| values.get(round).copied().flatten());
        values.max_by(f64::total_cmp)
    };
    (0..rounds).map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([f64::NAN, 1.0, f64::INFINITY]), Some(1.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn ratios_are_paired_within_a_round() {
        // In the second round the machine was busy: unpaired medians would give 10/2.
        let (above, below) = ([Some(10.0), Some(1.0), Some(20.0)], [Some(2.0), Some(0.2), Some(4.0)]);
        assert_eq!(paired_ratio(&above, &below), Some(5.0));
        assert_eq!(paired_ratio(&[Some(8.0), Some(9.0)], &[Some(4.0), None]), Some(2.0));
        assert_eq!(paired_ratio(&[None], &[Some(1.0)]), None);
    }

    #[test]
    fn the_best_is_taken_round_by_round() {
        let best = best_of(&[vec![Some(1.0), Some(5.0)], vec![Some(2.0), None], vec![None]]);
        assert_eq!(best, [Some(2.0), Some(5.0)]);
        assert!(best_of(&[]).is_empty());
    }
}
