//! Paired measurements.

fn main() {}
