//! Writes over what somebody saw under a key, and nothing else: not over what came since, and not over what a newer build
//! wrote. What made no sense there is set aside. Keys that workers may write hold numbers, which have no version: whatever
//! calls itself newer there is nonsense.

use bytes::Bytes;

use super::{Bucket, Place, WriteError};
use crate::wire;

impl Bucket {
    /// Writes `value` over what stands at `place`, if nobody else wrote there since. What stood there and
    /// made no sense, for the reason `nonsense`, is set aside.
    pub async fn replace(
        &self,
        place: &Place,
        value: Bytes,
        nonsense: Option<&str>,
    ) -> Result<u64, WriteError> {
        self.may_replace(place)?;
        self.replace_any(place, value, nonsense).await
    }

    /// The same of a key that workers may write, whatever stands there.
    pub(in crate::broker) async fn replace_any(
        &self,
        place: &Place,
        value: Bytes,
        nonsense: Option<&str>,
    ) -> Result<u64, WriteError> {
        let revision = self.update(&place.key, value, place.revision()).await?;
        self.keep_aside(place, nonsense).await;
        Ok(revision)
    }

    /// Deletes what stands at `place`, if nobody else wrote there since. What stood there and made no sense, for the
    /// reason `nonsense`, is set aside.
    pub async fn remove(&self, place: &Place, nonsense: Option<&str>) -> Result<(), WriteError> {
        self.may_replace(place)?;
        self.delete(&place.key, Some(place.revision())).await?;
        self.keep_aside(place, nonsense).await;
        Ok(())
    }

    /// What a newer build wrote is neither replaced nor removed by this one.
    fn may_replace(&self, place: &Place) -> Result<(), WriteError> {
        let Some(cause) = place.value().and_then(|value| wire::too_new(value)) else {
            return Ok(());
        };
        self.broker
            .note_newer(&self.name.subject(&place.key), &cause);
        Err(WriteError::Newer {
            bucket: self.name.to_string(),
            key: place.key.clone(),
            cause,
        })
    }

    async fn keep_aside(&self, place: &Place, nonsense: Option<&str>) {
        if let (Some(reason), Some(old)) = (nonsense, &place.last) {
            let subject = self.name.subject(&place.key);
            let bytes = old.value.clone().unwrap_or_default();
            self.broker
                .set_aside(&subject, old.revision, reason, &bytes)
                .await;
        }
    }
}
