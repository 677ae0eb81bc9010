//! How worker-seconds are divided: the weight of each share, from the planner's configuration.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::id::ShareName;

/// Smallest weight of a share.
pub const WEIGHT_MIN: f64 = 0.001;
/// Largest weight of a share.
pub const WEIGHT_MAX: f64 = 1_000.0;

/// The weight of each share; 1 where nothing is said. A share of weight 2 gets twice the
/// worker-seconds of one of weight 1 while both have work.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<ShareName, f64>")]
pub struct Shares(BTreeMap<ShareName, f64>);

/// Why a number is no weight.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "the weight of share {share} must be a number from {WEIGHT_MIN} to {WEIGHT_MAX}, found {weight}"
)]
pub struct WeightError {
    /// The share.
    pub share: ShareName,
    /// What it should weigh.
    pub weight: f64,
}

impl Shares {
    /// These weights; all others are 1.
    ///
    /// # Errors
    /// When one is not from [`WEIGHT_MIN`] to [`WEIGHT_MAX`].
    pub fn new(weights: impl IntoIterator<Item = (ShareName, f64)>) -> Result<Shares, WeightError> {
        let mut shares = Shares::default();
        for (share, weight) in weights {
            if !(WEIGHT_MIN..=WEIGHT_MAX).contains(&weight) {
                return Err(WeightError { share, weight });
            }
            shares.0.insert(share, weight);
        }
        Ok(shares)
    }

    /// The weight of `share`.
    pub fn weight(&self, share: &ShareName) -> f64 {
        self.0.get(share).copied().unwrap_or(1.0)
    }

    /// These weights, and over them those of `more`.
    pub fn with(mut self, more: Shares) -> Shares {
        self.0.extend(more.0);
        self
    }
}

impl TryFrom<BTreeMap<ShareName, f64>> for Shares {
    type Error = WeightError;
    fn try_from(weights: BTreeMap<ShareName, f64>) -> Result<Shares, WeightError> {
        Shares::new(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_without_a_weight_weighs_one() {
        let [a, b] = ["a", "b"].map(|name| ShareName::new(name).unwrap());
        let shares = Shares::new([(a.clone(), 2.5)]).unwrap();
        assert_eq!((shares.weight(&a), shares.weight(&b)), (2.5, 1.0));
    }

    #[test]
    fn weights_are_within_their_bounds() {
        let a = ShareName::new("a").unwrap();
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, WEIGHT_MAX * 1.01] {
            assert!(Shares::new([(a.clone(), bad)]).is_err(), "{bad}");
        }
        for good in [WEIGHT_MIN, WEIGHT_MAX] {
            assert!(Shares::new([(a.clone(), good)]).is_ok(), "{good}");
        }
    }
}
