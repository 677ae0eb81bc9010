//! How counts are told to people: by the command line, in records and in logs alike.

/// `12345678` as `12,345,678`.
pub fn grouped(number: u64) -> String {
    grouped_digits(&number.to_string())
}

/// The same of a number of any size, given by its digits.
pub fn grouped_digits(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 shard`, `2 shards`, `1,000 shards`.
pub fn counted(number: u64, one: &str) -> String {
    counted_as(number, one, &format!("{one}s"))
}

/// `1 shard is`, `2 shards are`: with the words for one and for several.
pub fn counted_as(number: u64, one: &str, several: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{} {several}", grouped(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(336_776), "336,776");
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(counted(1, "shard"), "1 shard");
        assert_eq!(counted(1_200, "tile"), "1,200 tiles");
        assert_eq!(counted_as(1, "tile is", "tiles are"), "1 tile is");
        assert_eq!(counted_as(1_000, "tile is", "tiles are"), "1,000 tiles are");
    }
}
