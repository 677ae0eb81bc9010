//! A map whose keys are numbers that the planner chose: hashing them costs little, and is no defence
//! against keys that somebody chose to collide.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with such keys.
pub type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// Multiplies and folds, number by number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quick(u64);

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let wide = u128::from(self.0 ^ number) * u128::from(FACTOR);
        self.0 = (wide as u64) ^ ((wide >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::Hash;

    use super::*;
    use crate::tile::TileRef;

    #[test]
    fn neighbours_in_a_wave_are_spread_over_the_low_and_the_high_bits() {
        let hash = |place: TileRef| {
            let mut quick = Quick::default();
            place.hash(&mut quick);
            quick.finish()
        };
        let hashes: Vec<u64> = (0..4_000)
            .map(|n| {
                hash(TileRef {
                    wave: n / 1_000,
                    index: n % 1_000,
                })
            })
            .collect();
        let low: HashSet<u64> = hashes.iter().map(|hash| hash % 4_096).collect();
        let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert!(
            low.len() > 2_000 && high.len() > 100,
            "{} {}",
            low.len(),
            high.len()
        );
    }
}
