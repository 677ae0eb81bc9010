//! How a command is written in one line: words with quotes, as in a shell. There is no shell: what only a
//! shell would understand is refused, so that nobody believes that a pipe was run.

/// Why a line is no command. The text says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A word that only a shell understands.
    #[error(
        "{0:?} means something to a shell only, and there is none: put it in single quotes if it is meant as it \
         stands, or run a shell: NAME=sh -c '...'"
    )]
    Shell(char),
    /// A quote without its end.
    #[error("the quote {0} has no end")]
    Open(char),
    /// A backslash at the end.
    #[error("a backslash stands at the end, with nothing behind it")]
    Backslash,
    /// Nothing to run.
    #[error("there is no program to run")]
    Nothing,
    /// No name in front of it.
    #[error("must be NAME=PROGRAM with its arguments, as resize=./resize.sh --fast 'my file'")]
    NoName,
}

/// What a shell would act on where no quote protects it.
const ACTED_ON: &str = "|&;<>()$`*?[";
/// The same at the beginning of a word.
const ACTED_ON_FIRST: &str = "~#";
/// The same between double quotes.
const ACTED_ON_QUOTED: &str = "$`";

/// The words up to the first line feed that no quote protects, and what stands behind it.
pub(super) fn line(text: &str) -> Result<(Vec<String>, &str), LineError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => {
                words.extend(word);
                return Ok((words, &text[at + 1..]));
            }
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => single(&mut chars, word.get_or_insert_default())?,
            '"' => double(&mut chars, word.get_or_insert_default())?,
            '\\' => {
                let (_, next) = chars.next().ok_or(LineError::Backslash)?;
                word.get_or_insert_default().push(next);
            }
            c if ACTED_ON.contains(c) || (word.is_none() && ACTED_ON_FIRST.contains(c)) => {
                return Err(LineError::Shell(c));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok((words, ""))
}

fn single(
    chars: &mut impl Iterator<Item = (usize, char)>,
    word: &mut String,
) -> Result<(), LineError> {
    for (_, c) in chars {
        match c {
            '\'' => return Ok(()),
            c => word.push(c),
        }
    }
    Err(LineError::Open('\''))
}

fn double(
    chars: &mut impl Iterator<Item = (usize, char)>,
    word: &mut String,
) -> Result<(), LineError> {
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\' | '$' | '`'))) => word.push(c),
                Some((_, c)) => word.extend(['\\', c]),
                None => break,
            },
            c if ACTED_ON_QUOTED.contains(c) => return Err(LineError::Shell(c)),
            c => word.push(c),
        }
    }
    Err(LineError::Open('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<String>, LineError> {
        line(text).map(|(words, _)| words)
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, expected) in [
            ("a  b\tc ", &["a", "b", "c"][..]),
            ("a 'b c' \"d e\" f\\ g", &["a", "b c", "d e", "f g"]),
            ("a '' \"\"", &["a", "", ""]),
            (
                "sh -c 'echo a | cat > \"$F\"'",
                &["sh", "-c", "echo a | cat > \"$F\""],
            ),
            (r#"a "b\"c\\d\n\$e""#, &["a", r#"b"c\d\n$e"#]),
            ("x=1 a'b'c\"d\" e#f g~", &["x=1", "abcd", "e#f", "g~"]),
            ("a '\n'", &["a", "\n"]),
            ("é 'ü'", &["é", "ü"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_only_a_shell_understands_is_refused() {
        for (text, c) in [
            ("echo a | cat", '|'),
            ("a && b", '&'),
            ("a > file", '>'),
            ("echo $HOME", '$'),
            ("echo \"$HOME\"", '$'),
            ("echo \"`id`\"", '`'),
            ("ls *.txt", '*'),
            ("~/run.sh", '~'),
            ("a # why", '#'),
            ("a; b", ';'),
        ] {
            assert_eq!(words(text), Err(LineError::Shell(c)), "{text}");
        }
    }

    #[test]
    fn quotes_have_an_end() {
        assert_eq!(words("a 'b"), Err(LineError::Open('\'')));
        assert_eq!(words("a \"b"), Err(LineError::Open('"')));
        assert_eq!(words("a \"b\\"), Err(LineError::Open('"')));
        assert_eq!(words("a \\"), Err(LineError::Backslash));
    }

    #[test]
    fn line_ends_at_a_line_feed_outside_of_quotes() {
        let (words, rest) = line("a 'b\nc'\nd=e").unwrap();
        assert_eq!((words.join("|").as_str(), rest), ("a|b\nc", "d=e"));
    }
}
