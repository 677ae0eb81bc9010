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
}
