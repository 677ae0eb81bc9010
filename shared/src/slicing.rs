//! Which slice a key belongs to: a stable hash that SQL and every other language can repeat.
//!
//! The slice of a key is the first four bytes of the MD5 of its UTF-8 text, read as a big-endian
//! number, modulo the number of slices. docs/SLICING.md has it for databases and other languages, with test
//! vectors. MD5 is used for spread, not for secrecy.

use md5::{Digest, Md5};

/// The slice of `key` among `slices`; 0 when `slices` is 0.
///
/// ```
/// assert_eq!(gridloom_shared::slicing::slice_of("N14228", 16), 1);
/// ```
pub fn slice_of(key: &str, slices: u32) -> u32 {
    let hash = Md5::digest(key.as_bytes());
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    number.checked_rem(slices).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/SLICING.md");

    /// The vectors of the page: key, first four bytes, and the slice among 7 and among 65,536.
    fn vectors() -> Vec<(String, u32, u32, u32)> {
        let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
        let rows = rows.map(|row| {
            let cells: Vec<&str> = row
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            let key = serde_json::from_str(cells[1]).unwrap();
            let hash = u32::from_str_radix(cells[2], 16).unwrap();
            (
                key,
                hash,
                cells[3].parse().unwrap(),
                cells[4].parse().unwrap(),
            )
        });
        let vectors: Vec<_> = rows.collect();
        assert!(vectors.len() >= 8, "{vectors:?}");
        vectors
    }

    #[test]
    fn vectors_of_the_page_are_ours() {
        for (key, hash, of_7, of_65_536) in vectors() {
            assert_eq!((hash % 7, hash % 65_536), (of_7, of_65_536), "{key:?}");
            assert_eq!(slice_of(&key, 7), of_7, "{key:?}");
            assert_eq!(slice_of(&key, 65_536), of_65_536, "{key:?}");
            assert_eq!(slice_of(&key, u32::MAX), hash % u32::MAX, "{key:?}");
        }
    }

    /// The code of the page in a language.
    fn code(language: &str) -> &'static str {
        let (_, code) = PAGE.split_once(&format!("```{language}\n")).unwrap();
        code.split_once("```").unwrap().0
    }

    /// The keys as a list of literals, which the languages have in common.
    fn keys() -> String {
        let keys = vectors().into_iter().map(|(key, ..)| key);
        let keys = keys.map(|key| serde_json::to_string(&key).unwrap());
        keys.collect::<Vec<_>>().join(", ")
    }

    /// The program prints the slices of all keys, of 7 and of 65,536, a number a line.
    #[expect(clippy::print_stderr, reason = "a test that did not run says so")]
    fn says_the_same(program: &str, args: &[&str]) {
        let run = std::process::Command::new(program).args(args).output();
        let run = match run {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("left out: there is no {program} here");
                return;
            }
            run => run.unwrap(),
        };
        let text = String::from_utf8_lossy(&run.stdout);
        let said: Vec<u32> = text.split_whitespace().flat_map(str::parse).collect();
        let ours: Vec<u32> = vectors()
            .into_iter()
            .flat_map(|(.., a, b)| [a, b])
            .collect();
        assert_eq!(said, ours, "{}", String::from_utf8_lossy(&run.stderr));
    }

    #[test]
    fn python_of_the_page_says_the_same() {
        let (code, keys) = (code("python"), keys());
        let script =
            format!("{code}\nfor key in [{keys}]:\n  for n in (7, 65536): print(slice_of(key, n))");
        says_the_same("python3", &["-c", &script]);
    }

    #[test]
    fn java_of_the_page_says_the_same() {
        let (imports, class) = code("java").split_once("final class").unwrap();
        let keys = keys();
        let main = format!(
            "class Main {{ public static void main(String[] args) throws Exception {{ \
             for (String key : new String[] {{ {keys} }}) for (int n : new int[] {{ 7, 65536 }}) \
             System.out.println(Slicing.sliceOf(key, n)); }} }}"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("Main.java");
        std::fs::write(&file, format!("{imports}{main}\nfinal class{class}")).unwrap();
        let file = file.to_string_lossy();
        says_the_same("java", &["-Dfile.encoding=UTF-8", &file]);
    }

    #[test]
    fn go_of_the_page_says_the_same() {
        let code = code("go");
        let code = code.replace("package slicing", "package main\nimport \"fmt\"");
        let keys = keys();
        let main = format!(
            "func main() {{ for _, key := range []string{{ {keys} }} {{ for _, n := range []uint32{{7, 65536}} {{ \
             fmt.Println(SliceOf(key, n)) }} }} }}"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("main.go");
        std::fs::write(&file, format!("{code}\n{main}\n")).unwrap();
        let file = file.to_string_lossy();
        says_the_same("go", &["run", &file]);
    }
}
