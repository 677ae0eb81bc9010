//! How sums are written: as plain integers, also beyond 64 bits. Where the format has none of those
//! (MessagePack), as sixteen bytes, so that what 64 bits hold stands as it always did.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(sum: &i128, serializer: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(*sum) {
        Ok(small) => serializer.serialize_i64(small),
        Err(_) if serializer.is_human_readable() => serializer.serialize_i128(*sum),
        Err(_) => serializer.serialize_bytes(&sum.to_be_bytes()),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
    if deserializer.is_human_readable() {
        i128::deserialize(deserializer)
    } else {
        deserializer.deserialize_any(Sum)
    }
}

struct Sum;

impl Visitor<'_> for Sum {
    type Value = i128;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, sum: i64) -> Result<i128, E> {
        Ok(sum.into())
    }

    fn visit_u64<E: Error>(self, sum: u64) -> Result<i128, E> {
        Ok(sum.into())
    }

    fn visit_bytes<E: Error>(self, sum: &[u8]) -> Result<i128, E> {
        let bytes = sum.try_into();
        let bytes = bytes.map_err(|_| E::invalid_length(sum.len(), &"sixteen bytes"))?;
        Ok(i128::from_be_bytes(bytes))
    }
}

/// The same for the values of a map.
pub(super) mod map {
    use std::collections::BTreeMap;

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    struct Out<'a>(&'a i128);

    struct In(i128);

    impl Serialize for Out<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            super::serialize(self.0, serializer)
        }
    }

    impl<'de> Deserialize<'de> for In {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<In, D::Error> {
            super::deserialize(deserializer).map(In)
        }
    }

    pub(in super::super) fn serialize<S: Serializer>(
        sums: &BTreeMap<String, i128>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(sums.iter().map(|(name, sum)| (name, Out(sum))))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, i128>, D::Error> {
        let sums = BTreeMap::<String, In>::deserialize(deserializer)?;
        Ok(sums
            .into_iter()
            .map(|(name, In(sum))| (name, sum))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Sums {
        #[serde(with = "super")]
        rows: i128,
        #[serde(with = "super::map")]
        counters: BTreeMap<String, i128>,
    }

    #[test]
    fn sums_of_any_size_are_integers_in_json_and_survive_the_wire() {
        for rows in [
            0,
            -1,
            1 << 53,
            i128::from(i64::MAX),
            i128::from(i64::MAX) + 1,
            -(1 << 100),
        ] {
            let counters = BTreeMap::from([("a".to_owned(), rows), ("b".to_owned(), -rows)]);
            let sums = Sums { rows, counters };
            let json = serde_json::to_string_pretty(&sums).unwrap();
            assert!(json.contains(&format!("\"rows\": {rows},")), "{json}");
            assert_eq!(serde_json::from_str::<Sums>(&json).unwrap(), sums);
            let bytes = rmp_serde::to_vec_named(&sums).unwrap();
            assert_eq!(rmp_serde::from_slice::<Sums>(&bytes).unwrap(), sums);
        }
    }

    #[test]
    fn what_64_bits_hold_is_written_as_before() {
        let sums = Sums {
            rows: 7,
            counters: BTreeMap::new(),
        };
        assert_eq!(
            rmp_serde::to_vec_named(&sums).unwrap(),
            b"\x82\xa4rows\x07\xa8counters\x80"
        );
    }
}
