//! What Athena would bill: bytes after its minimum and rounding, times the price per TB.
//!
//! Pure functions of a finished query; this deployment's own cost is in `price.rs`.

use serde::{Deserialize, Serialize};

use crate::receipt::{QueryState, StatementType};
use crate::usd::Usd;

/// Athena's charging rule. The unit sizes are settings: AWS does not say which TB and MB it bills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AthenaBilling {
    /// Price of [`tb_bytes`](Self::tb_bytes) scanned bytes.
    pub usd_per_tb: Usd,
    /// Bytes of the TB of the price; 0 counts as 1.
    pub tb_bytes: u64,
    /// Least number of bytes billed for a query that is billed at all.
    pub min_bytes: u64,
    /// Billed bytes are rounded up to a multiple of this; 0 counts as 1.
    pub round_bytes: u64,
}

impl Default for AthenaBilling {
    /// 5 USD per 10^12 bytes, at least 10 MB, whole MB.
    fn default() -> Self {
        Self {
            usd_per_tb: Usd::from_pico(5_000_000_000_000),
            tb_bytes: 1_000_000_000_000,
            min_bytes: 10_000_000,
            round_bytes: 1_000_000,
        }
    }
}

impl AthenaBilling {
    /// The bytes Athena would bill.
    ///
    /// 0 for DDL, UTILITY (plain EXPLAIN, SHOW), failed queries and reused results; else
    /// `max(minimum, round up(data_scanned_bytes))`. EXPLAIN ANALYZE runs its query: callers class it as DML.
    /// A cancelled query is billed for what it scanned, so 0 when it was stopped before its first data byte.
    /// A query that has not ended is billed as if it were cancelled now.
    pub fn billed_bytes(
        &self,
        statement: StatementType,
        state: QueryState,
        reused: bool,
        data_scanned_bytes: u64,
    ) -> u64 {
        let charged = match (statement, state) {
            _ if reused => false,
            (StatementType::Ddl | StatementType::Utility, _) | (_, QueryState::Failed) => false,
            (StatementType::Dml, QueryState::Succeeded) => true,
            (StatementType::Dml, QueryState::Cancelled | QueryState::Queued | QueryState::Running) => {
                data_scanned_bytes > 0
            }
        };
        if !charged {
            return 0;
        }
        let unit = self.round_bytes.max(1);
        let rounded = data_scanned_bytes
            .checked_next_multiple_of(unit)
            .unwrap_or(u64::MAX);
        rounded.max(self.min_bytes)
    }

    /// The price of `billed_bytes`, to the nearest pico-dollar (halves up); exact with the default units.
    pub fn cost(&self, billed_bytes: u64) -> Usd {
        let divisor = i128::from(self.tb_bytes.max(1));
        match self.usd_per_tb.pico().checked_mul(i128::from(billed_bytes)) {
            Some(product) => Usd::from_pico(product.saturating_add(divisor / 2).div_euclid(divisor)),
            // Only with a price beyond 10^6 USD per TB and exabytes at once.
            None => Usd::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use QueryState::{Cancelled, Failed, Queued, Running, Succeeded};
    use StatementType::{Ddl, Dml, Utility};

    #[test]
    fn bytes_are_billed_by_athenas_rules() {
        let billing = AthenaBilling::default();
        for (statement, state, reused, scanned, billed) in [
            (Dml, Succeeded, false, 0, 10_000_000),
            (Dml, Succeeded, false, 13_826, 10_000_000),
            (Dml, Succeeded, false, 10_000_000, 10_000_000),
            (Dml, Succeeded, false, 10_000_001, 11_000_000),
            (Dml, Succeeded, false, 11_000_000, 11_000_000),
            (Dml, Succeeded, false, 1_000_000_000_000, 1_000_000_000_000),
            (Dml, Succeeded, true, 1_000_000_000, 0),
            (Dml, Failed, false, 1_000_000_000, 0),
            (Dml, Cancelled, false, 1_234_567_890, 1_235_000_000),
            (Dml, Cancelled, false, 5, 10_000_000),
            (Dml, Cancelled, false, 0, 0),
            (Dml, Running, false, 20_000_001, 21_000_000),
            (Dml, Queued, false, 0, 0),
            (Ddl, Succeeded, false, 1_000_000_000, 0),
            (Ddl, Cancelled, false, 1_000_000_000, 0),
            (Utility, Succeeded, false, 1_000_000_000, 0),
            (Dml, Succeeded, false, u64::MAX, u64::MAX),
        ] {
            let got = billing.billed_bytes(statement, state, reused, scanned);
            assert_eq!(got, billed, "{statement:?} {state:?} reused={reused} {scanned}");
        }
    }

    #[test]
    fn money_is_exact() {
        let billing = AthenaBilling::default();
        for (bytes, usd) in [
            (0, "0.000000000000"),
            (1, "0.000000000005"),
            (10_000_000, "0.000050000000"),
            (1_000_000_000_000, "5.000000000000"),
            (u64::MAX, "92233720.368547758075"),
        ] {
            assert_eq!(billing.cost(bytes).to_string(), usd);
        }
    }

    #[test]
    fn units_are_settings() {
        let binary: AthenaBilling =
            toml::from_str("tb_bytes = 1099511627776\nround_bytes = 1048576\nmin_bytes = 10485760").unwrap();
        assert_eq!(binary.billed_bytes(Dml, Succeeded, false, 10_485_761), 11_534_336);
        // 5 / 2^40 USD = 4.547 pico-dollars.
        assert_eq!(binary.cost(1), Usd::from_pico(5));
        assert_eq!(binary.cost(1 << 40).to_string(), "5.000000000000");
        let zero = AthenaBilling {
            tb_bytes: 0,
            min_bytes: 0,
            round_bytes: 0,
            ..AthenaBilling::default()
        };
        assert_eq!(zero.billed_bytes(Dml, Succeeded, false, 7), 7);
        assert_eq!(zero.cost(1), zero.usd_per_tb);
        assert!(toml::from_str::<AthenaBilling>("usd_per_gb = \"1\"").is_err());
    }

    proptest! {
        #[test]
        fn more_bytes_never_cost_less(a: u64, b: u64, tb in 1u64..=1 << 45) {
            let billing = AthenaBilling { tb_bytes: tb, ..AthenaBilling::default() };
            let (low, high) = (a.min(b), a.max(b));
            let billed = |n| billing.billed_bytes(Dml, Succeeded, false, n);
            prop_assert!(billed(low) <= billed(high));
            prop_assert!(billed(low) >= low.max(billing.min_bytes));
            prop_assert!(billing.cost(low) <= billing.cost(high));
        }

        #[test]
        fn the_default_price_is_additive(a in 0u64..=u64::MAX / 2, b in 0u64..=u64::MAX / 2) {
            let billing = AthenaBilling::default();
            prop_assert_eq!(billing.cost(a) + billing.cost(b), billing.cost(a + b));
        }
    }
}
