//! What this deployment pays its store: a price per request, per transferred byte and per scanned byte.
//!
//! Athena's own bill (minimum, rounding) is in `billing.rs`.

use serde::{Deserialize, Serialize};

use crate::meter::Counters;
use crate::usd::Usd;

/// Prices by unit. The cost of two readings together is exactly the sum of their costs.
///
/// As a table in the configuration every price is text (`get_request_usd = "0.0000004"`), missing ones are 0,
/// unknown keys and negative prices are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricePlan {
    /// The name that receipts carry.
    pub name: String,
    /// Per answered GET.
    #[serde(default, deserialize_with = "price")]
    pub get_request_usd: Usd,
    /// Per answered HEAD.
    #[serde(default, deserialize_with = "price")]
    pub head_request_usd: Usd,
    /// Per answered listing page.
    #[serde(default, deserialize_with = "price")]
    pub list_request_usd: Usd,
    /// Per answered request of any other kind.
    #[serde(default, deserialize_with = "price")]
    pub put_request_usd: Usd,
    /// Per object-body byte received.
    #[serde(default, deserialize_with = "price")]
    pub transferred_byte_usd: Usd,
    /// Per `data_scanned_bytes` byte.
    #[serde(default, deserialize_with = "price")]
    pub scanned_byte_usd: Usd,
}

fn price<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Usd, D::Error> {
    let usd = Usd::deserialize(deserializer)?;
    if usd < Usd::ZERO {
        return Err(serde::de::Error::custom("a price must not be negative"));
    }
    Ok(usd)
}

impl PricePlan {
    /// `aws-s3`: S3 Standard in us-east-1 read from the same region. Transfer is free there; KMS is not modelled.
    pub fn aws_s3() -> Self {
        Self {
            name: "aws-s3".to_owned(),
            get_request_usd: Usd::from_pico(400_000),
            head_request_usd: Usd::from_pico(400_000),
            list_request_usd: Usd::from_pico(5_000_000),
            put_request_usd: Usd::from_pico(5_000_000),
            transferred_byte_usd: Usd::ZERO,
            scanned_byte_usd: Usd::ZERO,
        }
    }

    /// `athena`: 5 USD per 10^12 scanned bytes, requests free; without Athena's minimum and rounding,
    /// which `athena_cost_usd` has.
    pub fn athena() -> Self {
        Self {
            name: "athena".to_owned(),
            get_request_usd: Usd::ZERO,
            head_request_usd: Usd::ZERO,
            list_request_usd: Usd::ZERO,
            put_request_usd: Usd::ZERO,
            transferred_byte_usd: Usd::ZERO,
            scanned_byte_usd: Usd::from_pico(5),
        }
    }

    /// The built-in plan of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::aws_s3(), Self::athena()]
            .into_iter()
            .find(|plan| plan.name == name)
    }

    /// What the counted work cost. Answered attempts count, repeated ones too: the store bills them.
    /// Stops at [`Usd::MAX`].
    pub fn cost(&self, counters: &Counters) -> Usd {
        [
            (self.get_request_usd, counters.get_requests),
            (self.head_request_usd, counters.head_requests),
            (self.list_request_usd, counters.list_requests),
            (self.put_request_usd, counters.put_requests),
            (self.transferred_byte_usd, counters.transferred_bytes),
            (self.scanned_byte_usd, counters.data_scanned_bytes),
        ]
        .into_iter()
        .map(|(price, count)| price.checked_mul(count).unwrap_or(Usd::MAX))
        .sum()
    }
}

impl Default for PricePlan {
    fn default() -> Self {
        Self::aws_s3()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn s3_requests_have_their_list_prices() {
        let plan = PricePlan::aws_s3();
        let one = |set: fn(&mut Counters)| {
            let mut counters = Counters::default();
            set(&mut counters);
            plan.cost(&counters).to_string()
        };
        assert_eq!(one(|c| c.get_requests = 1), "0.000000400000");
        assert_eq!(one(|c| c.head_requests = 1), "0.000000400000");
        assert_eq!(one(|c| c.list_requests = 1), "0.000005000000");
        assert_eq!(one(|c| c.put_requests = 1_000), "0.005000000000");
        assert_eq!(one(|c| c.transferred_bytes = u64::MAX), "0.000000000000");
        assert_eq!(one(|c| c.retried_requests = 9), "0.000000000000");
    }

    #[test]
    fn plans_are_found_by_name() {
        assert_eq!(PricePlan::named("aws-s3"), Some(PricePlan::default()));
        let athena = PricePlan::named("athena").unwrap();
        let counters = Counters {
            data_scanned_bytes: 1_000_000_000_000,
            ..Counters::default()
        };
        assert_eq!(athena.cost(&counters).to_string(), "5.000000000000");
        assert_eq!(PricePlan::named("gcs"), None);
    }

    #[test]
    fn own_plans_come_from_a_table_and_mistakes_are_refused() {
        let plan: PricePlan = toml::from_str(
            "name = \"minio\"\nget_request_usd = \"0.0000001\"\ntransferred_byte_usd = \"0.00000000009\"",
        )
        .unwrap();
        let counters = Counters {
            get_requests: 2,
            transferred_bytes: 1_000_000_000,
            list_requests: 5,
            ..Counters::default()
        };
        assert_eq!(plan.cost(&counters).to_string(), "0.090000200000");
        for text in [
            "name = \"x\"\nget_requests = \"1\"",
            "name = \"x\"\nget_request_usd = 0.1",
            "name = \"x\"\nget_request_usd = \"-1\"",
            "get_request_usd = \"1\"",
        ] {
            assert!(toml::from_str::<PricePlan>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_absurd_price_stops_at_the_largest_amount() {
        let plan = PricePlan {
            get_request_usd: Usd::MAX,
            ..PricePlan::aws_s3()
        };
        assert_eq!(
            plan.cost(&Counters {
                get_requests: 3,
                ..Counters::default()
            }),
            Usd::MAX
        );
    }

    fn counters() -> impl Strategy<Value = Counters> {
        proptest::array::uniform6(0u64..1 << 50).prop_map(|[a, b, c, d, e, f]| Counters {
            get_requests: a,
            head_requests: b,
            list_requests: c,
            put_requests: d,
            transferred_bytes: e,
            data_scanned_bytes: f,
            ..Counters::default()
        })
    }

    fn plans() -> impl Strategy<Value = PricePlan> {
        proptest::array::uniform6(0i128..1 << 50).prop_map(|p| PricePlan {
            name: "p".to_owned(),
            get_request_usd: Usd::from_pico(p[0]),
            head_request_usd: Usd::from_pico(p[1]),
            list_request_usd: Usd::from_pico(p[2]),
            put_request_usd: Usd::from_pico(p[3]),
            transferred_byte_usd: Usd::from_pico(p[4]),
            scanned_byte_usd: Usd::from_pico(p[5]),
        })
    }

    proptest! {
        #[test]
        fn cost_is_additive_and_monotone(plan in plans(), a in counters(), b in counters()) {
            let mut both = a;
            both += b;
            prop_assert_eq!(plan.cost(&a) + plan.cost(&b), plan.cost(&both));
            prop_assert!(plan.cost(&a) <= plan.cost(&both));
        }
    }
}
