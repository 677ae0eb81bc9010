//! Numbers that are typed: how many, of which none is no answer.

/// From one to `most`.
pub(super) fn from_one(
    most: usize,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync {
    move |text| match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ if most == usize::MAX => Err("must be a whole number of at least 1".to_owned()),
        _ => Err(format!("must be a whole number from 1 to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_such_number_is_told_which_would_be() {
        let any = from_one(usize::MAX);
        assert_eq!(any("1"), Ok(1));
        for text in ["0", "-1", "ten", "", "1.5"] {
            assert_eq!(
                any(text),
                Err("must be a whole number of at least 1".to_owned())
            );
        }
        let few = from_one(10);
        assert_eq!((few("10"), few("11").is_err()), (Ok(10), true));
    }
}
