//! Which known word somebody may have meant.

/// The known word that is nearest in writing to `word`, if any is near.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let (far, longest, found) = closest(word, known)?;
    (far * 5 <= longest * 2).then_some(found)
}

/// The known word of which `word` can only be a slip of the pen: so near that nobody would call two things so.
pub fn slip<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let (far, longest, found) = closest(word, known)?;
    (far * 4 <= longest).then_some(found)
}

/// How many letters the nearest word differs in, how long the longer of the two is, and that word.
fn closest<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<(usize, usize, &'k str)> {
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let (far, found) = known
        .into_iter()
        .map(|name| (distance(&word, name), name))
        .min()?;
    Some((far, word.len().max(found.chars().count()), found))
}

/// `; did you mean "x"?`, or nothing.
pub fn hint<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

/// Letters to add, take away or change to get from one word to the other.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slip_of_the_pen_is_found_and_another_word_is_not() {
        let known = ["carrier-delays", "resize", "nightly-report"];
        assert_eq!(nearest("carier-delays", known), Some("carrier-delays"));
        assert_eq!(nearest("Resize", known), Some("resize"));
        assert_eq!(nearest("backup", known), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn word_that_may_be_another_name_is_no_slip() {
        let known = ["slice", "page", "page_from"];
        for (word, found) in [
            ("slize", Some("slice")),
            ("pages", Some("page")),
            ("page_form", Some("page_from")),
            ("size", None),
            ("since", None),
            ("date", None),
            ("tag", None),
        ] {
            assert_eq!(slip(word, known), found, "{word}");
        }
    }
}
