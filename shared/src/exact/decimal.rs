//! What a written number is worth, digit by digit.

use std::fmt;

use serde_json::Number;

/// A decimal number without loss. Two are equal if they are worth the same: 1.10 is 1.1, and -0 is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Without zeros at either end; none for 0.
    digits: String,
    /// Power of ten of the last digit; 0 for 0.
    exponent: i64,
}

impl Decimal {
    /// The number that `text` says; `None` if it says none.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, power(exponent)?),
            None => (text, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = format!("{whole}{part}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let kept = digits.trim_end_matches('0').len();
        let dropped = digits.len() - kept;
        digits.truncate(kept);
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Decimal {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        let moved = i64::try_from(dropped).ok()? - i64::try_from(part.len()).ok()?;
        Some(Decimal {
            negative,
            digits,
            exponent: exponent.saturating_add(moved),
        })
    }

    /// What `number` is worth, as it is written out.
    pub fn of(number: &Number) -> Decimal {
        let zero = Decimal {
            negative: false,
            digits: String::new(),
            exponent: 0,
        };
        Decimal::parse(&number.to_string()).unwrap_or(zero)
    }

    /// Whether it is below 0.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Digits behind the point.
    pub fn scale(&self) -> usize {
        usize::try_from(self.exponent.min(0).unsigned_abs()).unwrap_or(usize::MAX)
    }

    /// Digits before and behind the point that its plain form needs.
    pub fn precision(&self) -> usize {
        let zeros = usize::try_from(self.exponent.max(0)).unwrap_or(usize::MAX);
        self.digits.len().saturating_add(zeros).max(self.scale())
    }

    /// Its digits before and behind the point, without needless zeros: both are empty for 0.
    pub fn parts(&self) -> (String, String) {
        let scale = self.scale();
        if scale == 0 {
            let zeros = usize::try_from(self.exponent).unwrap_or(0);
            return (
                format!("{}{}", self.digits, "0".repeat(zeros)),
                String::new(),
            );
        }
        match self.digits.len().checked_sub(scale) {
            Some(whole) => {
                let (whole, part) = self.digits.split_at(whole);
                (whole.to_owned(), part.to_owned())
            }
            None => (String::new(), format!("{:0>scale$}", self.digits)),
        }
    }
}

/// In its plain form, without an exponent.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = self.parts();
        let sign = if self.negative { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { &whole };
        write!(f, "{sign}{whole}")?;
        if part.is_empty() {
            return Ok(());
        }
        write!(f, ".{part}")
    }
}

/// An exponent. One of more digits than anything has is as large as can be.
fn power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let largest = if text.starts_with('-') {
        i64::MIN / 2
    } else {
        i64::MAX / 2
    };
    Some(
        text.parse()
            .unwrap_or(largest)
            .clamp(i64::MIN / 2, i64::MAX / 2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_form_has_every_digit() {
        for (text, plain, precision, scale) in [
            ("0", "0", 0, 0),
            ("-0.00", "0", 0, 0),
            ("1.10", "1.1", 2, 1),
            ("-12345678901234.56", "-12345678901234.56", 16, 2),
            ("1e3", "1000", 4, 0),
            ("12e-5", "0.00012", 5, 5),
            ("0.5", "0.5", 1, 1),
            ("18446744073709551617", "18446744073709551617", 20, 0),
            ("00120.0e-1", "12", 2, 0),
        ] {
            let decimal = Decimal::parse(text).unwrap();
            assert_eq!(decimal.to_string(), plain);
            assert_eq!(
                (decimal.precision(), decimal.scale()),
                (precision, scale),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_worth_the_same_is_equal() {
        let parse = |text| Decimal::parse(text).unwrap();
        assert_eq!(parse("1.10"), parse("11e-1"));
        assert_eq!(parse("1234567e8"), parse("123456700000000.0"));
        assert_eq!(parse("-0"), parse("0e7"));
        assert_ne!(parse("1"), parse("-1"));
        assert_ne!(parse("1e99999999999999999999"), parse("1"));
    }

    #[test]
    fn what_says_no_number_is_none() {
        for text in [
            "", "-", ".", "e5", "1e", "1e+", "1.2.3", "nan", "inf", "1_0", " 1", "0x10",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
        }
    }
}
