//! How attempts are numbered for people: every one has a number of its own, and not every one counts. One that ended in a
//! hold uses up nothing, and what came before a retry of a dead shard counts no more.

/// `attempt 2 of 4`, or `attempt 10 (8 before it do not count: 2 of 4)`. `most` attempts count at most, besides the
/// `uncounted` that do not. Beyond that nobody knows which of them counted.
pub(in crate::commands) fn attempt(number: u32, uncounted: u32, most: u32) -> String {
    let counting = number.saturating_sub(uncounted);
    match uncounted {
        _ if counting == 0 || counting > most => format!("attempt {number}"),
        0 => format!("attempt {number} of {most}"),
        1 => format!("attempt {number} (1 before it does not count: {counting} of {most})"),
        many => format!("attempt {number} ({many} before it do not count: {counting} of {most})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_fits_what_the_job_allows() {
        assert_eq!(attempt(1, 0, 1), "attempt 1 of 1");
        assert_eq!(
            attempt(2, 1, 1),
            "attempt 2 (1 before it does not count: 1 of 1)"
        );
        assert_eq!(
            attempt(10, 8, 4),
            "attempt 10 (8 before it do not count: 2 of 4)"
        );
        assert_eq!(attempt(9, 0, 4), "attempt 9");
        assert_eq!(attempt(9, 9, 4), "attempt 9");
    }
}
