//! A decimal number as PostgreSQL takes it: its driver knows none.

use gridloom_shared::exact::Decimal;

/// PostgreSQL's `numeric`, as it goes over the wire: how many digits of base 10,000, the power of the first
/// of them, sign, digits behind the point, and the digits. As its `numeric_recv` reads it.
pub(super) fn to_wire(decimal: &Decimal) -> Vec<u8> {
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

    #[test]
    fn numeric_has_the_form_that_postgresql_reads() {
        let numeric = |text| {
            let bytes = to_wire(&Decimal::parse(text).unwrap());
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
