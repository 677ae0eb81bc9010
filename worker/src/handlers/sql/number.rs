//! How a number goes into each kind of database as it was written.
//!
//! It is bound as the database would read it if it stood in the statement: PostgreSQL and MySQL take decimal
//! numbers for what they are; a float would lose digits on its way into a `numeric` column. SQLite has
//! nothing but floats of 64 bits, which carry whatever a parameter can be.

use gridloom_shared::exact::Decimal;
use serde_json::Number;

use super::dialect::Dialect;
use super::link::Value;

/// What MySQL has room for in a `DECIMAL`: digits in all, and behind the point.
const MYSQL_PRECISION: usize = 65;
const MYSQL_SCALE: usize = 30;

/// The value that stands for `number`; `None` where the database has none.
pub(super) fn value(number: &Number, dialect: Dialect) -> Option<Value> {
    if let Some(whole) = number.as_i64() {
        return Some(Value::Int(Some(whole)));
    }
    let decimal = Decimal::of(number);
    match dialect {
        Dialect::Sqlite if number.is_u64() => None,
        Dialect::Sqlite => number.as_f64().map(Value::Real),
        Dialect::Postgres => Some(Value::Decimal(decimal)),
        // It reads 1e300 as a float, too.
        Dialect::MySql
            if decimal.precision() > MYSQL_PRECISION || decimal.scale() > MYSQL_SCALE =>
        {
            number.as_f64().map(Value::Real)
        }
        Dialect::MySql => Some(Value::Decimal(decimal)),
    }
}

/// How a placeholder with `value` is written in MySQL, whose driver knows no decimal numbers: as text that
/// the database turns into one, digit by digit.
pub(super) fn mysql_placeholder(value: &Value) -> Option<String> {
    let Value::Decimal(decimal) = value else {
        return None;
    };
    let (precision, scale) = (decimal.precision().max(1), decimal.scale());
    Some(format!("CAST(? AS DECIMAL({precision},{scale}))"))
}

/// PostgreSQL's `numeric`, as it goes over the wire: how many digits of base 10,000, the power of the first
/// of them, sign, digits behind the point, and the digits. As its `numeric_recv` reads it.
#[cfg(feature = "postgres")]
pub(super) fn postgres_numeric(decimal: &Decimal) -> Vec<u8> {
    let (whole, part) = decimal.parts();
    let mut all = "0".repeat((4 - whole.len() % 4) % 4);
    all.push_str(&whole);
    let mut weight = (all.len() / 4) as i64 - 1;
    all.push_str(&part);
    all.push_str(&"0".repeat((4 - part.len() % 4) % 4));
    let digits = all.as_bytes().chunks(4);
    let mut digits: Vec<u16> = digits
        .map(|four| {
            four.iter()
                .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
        })
        .collect();
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..leading);
    weight -= leading as i64;
    while digits.last() == Some(&0) {
        digits.pop();
    }
    if digits.is_empty() {
        weight = 0;
    }
    let sign: u16 = if decimal.is_negative() { 0x4000 } else { 0 };
    let head = [
        digits.len() as u16,
        weight as i16 as u16,
        sign,
        part.len() as u16,
    ];
    head.iter()
        .chain(&digits)
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        gridloom_shared::exact::number(text).unwrap()
    }

    #[test]
    fn decimal_numbers_are_floats_only_where_there_is_nothing_else() {
        let decimal = |text| Some(Value::Decimal(Decimal::parse(text).unwrap()));
        let written = "12345678901234.56";
        assert_eq!(value(&number(written), Dialect::Postgres), decimal(written));
        assert_eq!(value(&number(written), Dialect::MySql), decimal(written));
        let real = Some(Value::Real(12_345_678_901_234.56));
        assert_eq!(value(&number(written), Dialect::Sqlite), real);
        let most = "18446744073709551615";
        assert_eq!(value(&number(most), Dialect::Postgres), decimal(most));
        assert_eq!(value(&number(most), Dialect::MySql), decimal(most));
        assert_eq!(value(&number(most), Dialect::Sqlite), None);
        assert_eq!(
            value(&number("1e300"), Dialect::MySql),
            Some(Value::Real(1e300))
        );
        assert_eq!(value(&number("1e300"), Dialect::Postgres), decimal("1e300"));
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
            assert_eq!(value(&number("-7"), dialect), Some(Value::Int(Some(-7))));
        }
    }

    #[test]
    fn mysql_is_told_how_many_digits_there_are() {
        let placeholder = |text| mysql_placeholder(&Value::Decimal(Decimal::parse(text).unwrap()));
        assert_eq!(
            placeholder("-0.05").as_deref(),
            Some("CAST(? AS DECIMAL(2,2))")
        );
        assert_eq!(
            placeholder("0.0").as_deref(),
            Some("CAST(? AS DECIMAL(1,0))")
        );
        assert_eq!(mysql_placeholder(&Value::Int(Some(1))), None);
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn numeric_has_the_form_that_postgresql_reads() {
        let numeric = |text| {
            let bytes = postgres_numeric(&Decimal::parse(text).unwrap());
            let numbers = bytes
                .chunks(2)
                .map(|two| i16::from_be_bytes([two[0], two[1]]));
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(numeric("0"), [0, 0, 0, 0]);
        assert_eq!(numeric("12345.678"), [3, 1, 0, 3, 1, 2345, 6780]);
        assert_eq!(numeric("-1e8"), [1, 2, 0x4000, 0, 1]);
        assert_eq!(numeric("0.00001"), [1, -2, 0, 5, 1000]);
        assert_eq!(numeric("10000"), [1, 1, 0, 0, 1]);
    }
}
