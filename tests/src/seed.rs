//! Decides the random choices of a test: all of them follow from one number, which is printed and
//! can be given again.

use std::time::Duration;

/// The variable that replays a test: `GRIDLOOM_TEST_SEED=123 cargo test ...`.
pub const VARIABLE: &str = "GRIDLOOM_TEST_SEED";

/// A stream of numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Seed {
    first: u64,
    state: u64,
}

impl Seed {
    /// The seed that the environment names, or a new one.
    ///
    /// # Errors
    /// When the environment names something that is no number.
    pub fn from_env() -> anyhow::Result<Seed> {
        match std::env::var(VARIABLE) {
            Ok(text) => Ok(Seed::new(text.trim().parse().map_err(|error| {
                anyhow::anyhow!("read {VARIABLE} {text:?} as a number: {error}")
            })?)),
            Err(_) => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
                Ok(Seed::new(
                    now.as_nanos() as u64 ^ u64::from(std::process::id()) << 32,
                ))
            }
        }
    }

    /// This seed.
    pub fn new(first: u64) -> Seed {
        Seed {
            first,
            state: first,
        }
    }

    /// The number that replays everything.
    pub fn number(&self) -> u64 {
        self.first
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, which must not be zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// A time between two others, to the microsecond.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = (to - from).as_micros() as u64;
        from + Duration::from_micros(self.below(span.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_the_same_choices() {
        let choices = |mut seed: Seed| (0..9).map(|_| seed.below(1_000)).collect::<Vec<_>>();
        assert_eq!(choices(Seed::new(7)), choices(Seed::new(7)));
        assert_ne!(choices(Seed::new(7)), choices(Seed::new(8)));
    }
}
