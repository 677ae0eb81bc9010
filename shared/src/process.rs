//! What a process is called where nobody names it.

use crate::id::Session;

/// Letters of the host's name that are taken: the rest of a name has to fit behind them.
const HOST: usize = 32;

/// `host-1234-7f3a`, in the letters of names: the host, the process id, and a part by chance. In containers all
/// processes have the same id, and on one host perhaps the same host name.
pub fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok());
    let host = plain(&host.unwrap_or_default());
    let chance = Session::random().0 & 0xffff;
    format!("{host}-{}-{chance:04x}", std::process::id())
}

/// The first part of a host's name, as far as it can stand in one.
fn plain(host: &str) -> String {
    let first = host.trim().split('.').next().unwrap_or_default();
    let letters = first.chars().map(|c| c.to_ascii_lowercase());
    let plain: String = letters
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .skip_while(|c| *c == '-')
        .take(HOST)
        .collect();
    if plain.is_empty() {
        "host".to_owned()
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WorkerName;

    #[test]
    fn process_has_a_name_that_may_be_used_and_no_other_has() {
        assert!(WorkerName::new(name()).is_ok());
        let all: std::collections::BTreeSet<String> = (0..50).map(|_| name()).collect();
        assert!(all.len() > 40, "{all:?}");
    }

    #[test]
    fn any_host_gives_a_name() {
        assert_eq!(plain("Web-1.example.org\n"), "web-1");
        assert_eq!(plain("--_x"), "x");
        for odd in ["", "...", "---", "\u{e4}"] {
            assert_eq!(plain(odd), "host", "{odd:?}");
        }
        let longest = format!("{}-{}-ffff", plain(&"h".repeat(300)), u32::MAX);
        assert!(WorkerName::new(longest).is_ok());
    }
}
