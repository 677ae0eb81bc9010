//! Words of SQL, and names of ours, that tell what stands beside them.

/// Words that say what a statement does after its named queries.
pub(super) const VERBS: &[&str] = &[
    "SELECT", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE",
];

/// The names that the bounds of a page have: integers, or texts if a job says so.
pub(super) const BOUNDS: &[&str] = &["after", "page_from", "page_to"];
/// Types of PostgreSQL for text.
pub(super) const TEXTS: &[&str] = &["text", "varchar", "char", "character", "bpchar", "citext"];
/// Types of PostgreSQL to which no integer can be cast.
pub(super) const NEVER_OF_AN_INTEGER: &[&str] = &[
    "uuid",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "inet",
    "cidr",
    "macaddr",
];
/// Functions that make another type of a value.
pub(super) const CONVERSIONS: &[&str] = &["CAST", "CONVERT"];
/// Words that end no value.
pub(super) const NO_VALUES: &[&str] = &[
    "AND",
    "BETWEEN",
    "ELSE",
    "ILIKE",
    "IN",
    "LIKE",
    "LIMIT",
    "NOT",
    "OFFSET",
    "OR",
    "RETURNING",
    "SELECT",
    "THEN",
    "WHEN",
    "WHERE",
];

/// Whether pages are bounded by what has this name.
pub(super) fn is_bound(name: &str) -> bool {
    BOUNDS.contains(&name)
}

pub(super) fn is_one_of(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}
