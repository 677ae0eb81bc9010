//! Numbers that are typed: which would do is said in words.

/// A whole number from `least` to `most`.
pub(super) fn whole<N: TryFrom<u64> + Clone + Send + Sync + 'static>(
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse().ok();
        let number = number.filter(|number| (least..=most).contains(number));
        let number = number.and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| match (least, most) {
            (0, ENDLESS..) => "must be a whole number".to_owned(),
            (_, ENDLESS..) => format!("must be a whole number of at least {least}"),
            _ => format!("must be a whole number from {least} to {most}"),
        })
    }
}

/// As many as anybody can count: who reads that this is too large asks for something else.
pub(super) const ENDLESS: u64 = u32::MAX as u64;

/// At least one.
pub(super) fn from_one() -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync {
    whole(1, u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_such_number_is_told_which_would_be() {
        let any = from_one();
        assert_eq!(any("1"), Ok(1));
        for text in ["0", "-1", "ten", "", "1.5", "18446744073709551616"] {
            assert_eq!(
                any(text),
                Err("must be a whole number of at least 1".to_owned())
            );
        }
        let few = whole::<u32>(1, 10);
        assert_eq!(few("10"), Ok(10));
        assert_eq!(
            few("11"),
            Err("must be a whole number from 1 to 10".to_owned())
        );
        let all = whole::<u64>(0, u64::MAX);
        assert_eq!(all("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(all("-1"), Err("must be a whole number".to_owned()));
        // What does not fit is no such number.
        assert!(whole::<u8>(0, 1_000)("256").is_err());
        assert_eq!(
            whole::<u32>(0, ENDLESS)("4294967296"),
            Err("must be a whole number".to_owned())
        );
    }
}
