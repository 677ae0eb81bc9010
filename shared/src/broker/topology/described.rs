//! A stream as the broker describes it, for people who look for what is wrong. It decides nothing.

use serde_json::Value;

use super::Kept;
use crate::broker::api::ApiError;
use crate::broker::connect::Broker;
use crate::broker::subjects::api;

/// Settings, content, members and consumers of a stream, as the broker tells them.
///
/// # Errors
/// When it does not, or there is no such stream.
pub async fn described(broker: &Broker, kept: Kept) -> Result<(Value, Value), ApiError> {
    let stream = kept.stream(broker.subjects());
    let told = broker.api(api::stream_info(&stream), &()).await?;
    let consumers = broker.api(api::consumer_list(&stream), &()).await?;
    Ok((told, consumers))
}
