//! Exact money: US dollars in whole pico-dollars, as DECIMAL(38,12). No floating point anywhere near it.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Fraction digits of a dollar that are kept.
const SCALE: usize = 12;
const PICO_PER_USD: i128 = 1_000_000_000_000;

/// An amount in pico-dollars (10^-12 USD), within DECIMAL(38,12).
///
/// Its text always has 12 fraction digits: `0.000000005000`. One scanned byte costs `0.000000000005`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i128);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest DECIMAL(38,12).
    pub const MAX: Self = Self(99_999_999_999_999_999_999_999_999_999_999_999_999);
    /// The smallest DECIMAL(38,12).
    pub const MIN: Self = Self(-Self::MAX.0);

    /// An amount given in pico-dollars, cut to the range of DECIMAL(38,12).
    pub const fn from_pico(pico: i128) -> Self {
        if pico > Self::MAX.0 {
            Self::MAX
        } else if pico < Self::MIN.0 {
            Self::MIN
        } else {
            Self(pico)
        }
    }

    /// The amount in pico-dollars: the unscaled value of a DECIMAL(38,12).
    pub const fn pico(self) -> i128 {
        self.0
    }

    /// `self` times `count`, or `None` when that leaves DECIMAL(38,12).
    pub const fn checked_mul(self, count: u64) -> Option<Self> {
        match self.0.checked_mul(count as i128) {
            Some(pico) if pico <= Self::MAX.0 && pico >= Self::MIN.0 => Some(Self(pico)),
            _ => None,
        }
    }
}

impl Add for Usd {
    type Output = Self;
    /// Stops at the ends of DECIMAL(38,12).
    fn add(self, other: Self) -> Self {
        Self::from_pico(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0.abs() / PICO_PER_USD, self.0.abs() % PICO_PER_USD);
        f.pad_integral(self.0 >= 0, "", &format!("{whole}.{fraction:0SCALE$}"))
    }
}

/// Text that is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an amount in US dollars: {reason}")]
pub struct ParseUsdError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl FromStr for Usd {
    type Err = ParseUsdError;

    /// Reads `[-]digits[.digits]` with at most 12 fraction digits; no exponent, no sign of currency.
    fn from_str(text: &str) -> Result<Self, ParseUsdError> {
        let fail = |reason| ParseUsdError {
            text: text.chars().take(64).collect(),
            reason,
        };
        let (negative, number) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(fail("expected digits such as 0.005"));
        }
        if fraction.len() > SCALE {
            return Err(fail("more than 12 fraction digits"));
        }
        let too_large = || fail("too large");
        let pico = format!("{whole}{fraction:0<SCALE$}")
            .parse::<i128>()
            .map_err(|_| too_large())?;
        if pico > Self::MAX.0 {
            return Err(too_large());
        }
        Ok(Self(if negative { -pico } else { pico }))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    /// From text only: a floating point number would not be exact.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_has_always_twelve_fraction_digits() {
        for (pico, text) in [
            (0, "0.000000000000"),
            (5_000, "0.000000005000"),
            (-5, "-0.000000000005"),
            (5_000_000_000_000, "5.000000000000"),
            (-1_500_000_000_000, "-1.500000000000"),
        ] {
            assert_eq!(Usd::from_pico(pico).to_string(), text);
        }
        assert_eq!(Usd::MAX.to_string(), "99999999999999999999999999.999999999999");
    }

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        assert_eq!("0.0000004".parse(), Ok(Usd::from_pico(400_000)));
        assert_eq!("-5".parse(), Ok(Usd::from_pico(-5_000_000_000_000)));
        assert_eq!(Usd::MAX.to_string().parse(), Ok(Usd::MAX));
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            "1e3",
            "$1",
            " 1",
            "1,0",
            "--1",
            "0.0000000000001",
            "1.-1",
        ] {
            assert!(text.parse::<Usd>().is_err(), "{text}");
        }
        assert_eq!(
            "100000000000000000000000000".parse::<Usd>().unwrap_err().reason,
            "too large"
        );
        assert_eq!("9".repeat(60).parse::<Usd>().unwrap_err().reason, "too large");
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(Usd::MAX + Usd::from_pico(1), Usd::MAX);
        assert_eq!(Usd::MIN + Usd::MIN, Usd::MIN);
        assert_eq!(Usd::MAX.checked_mul(2), None);
        assert_eq!(Usd::from_pico(5).checked_mul(1_000), Some(Usd::from_pico(5_000)));
        assert_eq!(
            [Usd::from_pico(1), Usd::from_pico(2)].into_iter().sum::<Usd>(),
            Usd::from_pico(3)
        );
    }

    #[test]
    fn json_is_text_and_numbers_are_refused() {
        assert_eq!(
            serde_json::to_string(&Usd::from_pico(5)).unwrap(),
            "\"0.000000000005\""
        );
        assert_eq!(
            serde_json::from_str::<Usd>("\"0.5\"").unwrap(),
            Usd::from_pico(PICO_PER_USD / 2)
        );
        assert!(serde_json::from_str::<Usd>("0.5").is_err());
    }

    proptest! {
        #[test]
        fn text_round_trips(pico in Usd::MIN.0..=Usd::MAX.0) {
            let usd = Usd::from_pico(pico);
            prop_assert_eq!(usd.to_string().parse(), Ok(usd));
        }
    }
}
