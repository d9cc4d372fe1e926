//! Exact numbers of groups: the loops in which aggregates over decimals and integers spend their time.

use datafusion::error::Result;

use super::fold::Fold;
use super::taken::{Taken, each_row};
use crate::semantics::error::out_of_range;

/// The largest sum: 38 digits, as Trino's decimals have.
const LARGEST: i128 = 10_i128.pow(38) - 1;

/// Folds the values of `rows` into the numbers of their groups, and counts each by its group and row.
///
/// One loop for each fold, which never ends early: that a sum had too many digits is told at the end.
#[inline(always)]
pub(super) fn fold_exact(
    fold: Fold,
    numbers: &mut [i128],
    rows: &Taken,
    value: impl Fn(usize) -> (usize, i128),
    mut count: impl FnMut(usize, usize),
) -> Result<()> {
    match fold {
        Fold::BitAnd => each_row!(rows, row => {
            let (g, value) = value(row);
            numbers[g] &= value;
            count(g, row);
        }),
        Fold::BitOr => each_row!(rows, row => {
            let (g, value) = value(row);
            numbers[g] |= value;
            count(g, row);
        }),
        _ => {
            let mut overflow = false;
            each_row!(rows, row => {
                let (g, value) = value(row);
                let (sum, wrapped) = numbers[g].overflowing_add(value);
                numbers[g] = sum;
                // -LARGEST..=LARGEST, moved up to begin at 0.
                overflow |=
                    wrapped | (sum.wrapping_add(LARGEST).cast_unsigned() > 2 * LARGEST.cast_unsigned());
                count(g, row);
            });
            if overflow {
                return Err(out_of_range("Decimal overflow"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sums of two groups, the first of which begins with `begin`; `values` go to them in turn.
    fn sums(begin: i128, values: &[i128]) -> Option<Vec<i128>> {
        let mut numbers = vec![begin, 0];
        let mut counts = [0, 0];
        let rows = Taken::of(values.len(), None);
        let value = |row: usize| (row % 2, values[row]);
        let done = fold_exact(Fold::Sum, &mut numbers, &rows, value, |g, _| counts[g] += 1);
        assert_eq!(counts.iter().sum::<usize>(), values.len());
        done.ok().map(|()| numbers)
    }

    #[test]
    fn sums_have_at_most_38_digits() {
        assert_eq!(sums(1, &[2, 3, 4]), Some(vec![7, 3]));
        assert_eq!(sums(LARGEST - 1, &[1, -LARGEST]), Some(vec![LARGEST, -LARGEST]));
        for beyond in [1, LARGEST, i128::MAX] {
            assert_eq!(sums(LARGEST, &[beyond]), None);
            assert_eq!(sums(-LARGEST, &[-beyond]), None);
        }
        // What comes back later was out of range all the same.
        assert_eq!(sums(LARGEST, &[1, 0, -1]), None);
        assert_eq!(sums(0, &[i128::MIN]), None);
    }
}
