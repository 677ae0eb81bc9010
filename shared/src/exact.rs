//! How what people write becomes values: a number is carried as it was written or refused, and so is whatever
//! a reader could understand in two ways.
//!
//! A value holds whole numbers of 64 bits and floats. A float carries a decimal number exactly in the sense
//! that it is written again as the same number: 12345678901234.56 is, 0.1234567890123456789 is not. What
//! cannot be carried belongs in quotes.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `decimal` | what a written number is worth, digit by digit |
//! | `json` | which JSON text is read |
//! | `pack` | which MessagePack is read |
//! | `strict` | what both refuse: a key that stands there twice, a number that is none |

use serde_json::Number;

mod decimal;
#[cfg(feature = "runs")]
mod json;
#[cfg(feature = "runs")]
mod pack;
#[cfg(feature = "runs")]
mod strict;

pub use decimal::Decimal;
#[cfg(feature = "runs")]
pub use json::{JsonError, json};
#[cfg(feature = "runs")]
pub use pack::message_pack;

/// Longest piece of a number that a message repeats, in bytes: a number may have a hundred thousand digits.
const SHOWN: usize = 40;

/// Why a number cannot be carried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// It would become another one.
    #[error(
        "the number {written} cannot be carried as it is written (it would become {nearest}): write it in quotes, as text"
    )]
    Inexact {
        /// As it was written, or its beginning.
        written: String,
        /// What it would become.
        nearest: String,
    },
    /// Larger than any that there is room for.
    #[error("the number {written} is too large to be carried: write it in quotes, as text")]
    Large {
        /// As it was written, or its beginning.
        written: String,
    },
    /// Not a number, or infinity.
    #[error("must be a finite number, found {written}")]
    NotFinite {
        /// As it was written.
        written: String,
    },
}

/// The number that `written` says: digits with or without a point and an exponent, as JSON and TOML have them.
///
/// ```
/// use gridloom_shared::exact::number;
/// assert_eq!(number("12345678901234.56").unwrap().to_string(), "12345678901234.56");
/// assert!(number("18446744073709551617").is_err());
/// ```
///
/// # Errors
/// When it cannot be carried as it is written.
pub fn number(written: &str) -> Result<Number, NumberError> {
    let Some(wanted) = Decimal::parse(written) else {
        let written = shown(written);
        return Err(NumberError::NotFinite { written });
    };
    let whole = !written.contains(['.', 'e', 'E']);
    if whole && let Some(number) = whole_number(written) {
        return Ok(number);
    }
    let float = written.parse().ok().and_then(Number::from_f64);
    let Some(float) = float else {
        let written = shown(written);
        return Err(NumberError::Large { written });
    };
    // Whoever reads a whole number must not find a float in its place.
    if !whole && Decimal::of(&float) == wanted {
        return Ok(float);
    }
    Err(NumberError::Inexact {
        written: shown(written),
        nearest: float.to_string(),
    })
}

fn whole_number(written: &str) -> Option<Number> {
    let signed = written.parse::<i64>().map(Number::from);
    signed
        .or_else(|_| written.parse::<u64>().map(Number::from))
        .ok()
}

fn shown(written: &str) -> String {
    match written.get(..SHOWN) {
        Some(head) if written.len() > SHOWN => format!("{head}..."),
        Some(_) | None => written.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn number_is_carried_as_it_was_written_or_refused() {
        for (written, carried) in [
            ("0", "0"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("12345678901234.56", "12345678901234.56"),
            ("1.10", "1.1"),
            ("-0.0", "-0.0"),
            ("1e3", "1000.0"),
            ("1234567e8", "123456700000000.0"),
            ("0e99999999999999999999", "0.0"),
            ("5e-324", "5e-324"),
            ("+1.5", "1.5"),
        ] {
            let number = number(written).map(|number| number.to_string());
            assert_eq!(number.as_deref(), Ok(carried), "{written}");
        }
        for written in [
            "18446744073709551616",
            "18446744073709551617",
            "100000000000000000000",
            "-9223372036854775809",
            "0.1234567890123456789",
            "12345678901234567.89",
            "9007199254740993.0",
            "1e-400",
            "1e400",
            "1e99999999999999999999",
            "nan",
            "inf",
            "-inf",
        ] {
            assert!(number(written).is_err(), "{written}");
        }
        let long = number(&"9".repeat(100_000)).unwrap_err().to_string();
        assert!(long.len() < 300, "{long}");
    }

    proptest! {
        #[test]
        fn whatever_is_carried_is_worth_what_was_written(
            written in "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        ) {
            if let Ok(carried) = number(&written) {
                prop_assert_eq!(Decimal::of(&carried), Decimal::parse(&written).unwrap());
                let again: Number = serde_json::from_str(&carried.to_string()).unwrap();
                prop_assert_eq!(again, carried);
            }
        }

        #[test]
        fn fifteen_digits_are_always_carried(
            digits in 1_u64..1_000_000_000_000_000, places in 0_u32..15,
        ) {
            let written = format!("{digits}e-{places}");
            prop_assert!(number(&written).is_ok(), "{}", written);
        }

        #[test]
        fn every_float_is_carried_as_it_is_written_out(bits: u64) {
            if let Some(float) = Number::from_f64(f64::from_bits(bits)) {
                prop_assert_eq!(number(&float.to_string()), Ok(float));
            }
        }
    }
}
