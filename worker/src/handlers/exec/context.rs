//! What a script that comes from ElasticJob is told as its last argument: its sharding context, as that writes it
//! (`[exec] context = "elasticjob"`).
//!
//! The argument is one object of JSON: whatever a submission says, it begins with a brace and is never an option of the command.

use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::shard::Shard;

/// In the order in which they stand there: a script may have cut them out by their place.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardingContext<'s> {
    job_name: String,
    task_id: &'s str,
    sharding_total_count: u32,
    job_parameter: String,
    sharding_item: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sharding_parameter: Option<String>,
}

/// The argument, where the job asks for one.
pub(super) fn argument(shard: &Shard) -> Result<Option<String>, Failure> {
    match shard.settings_value().get("context") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(form)) if form == "elasticjob" => {}
        Some(_) => {
            let text = "read exec.context: it must be \"elasticjob\", or left out";
            return Err(Failure::permanent(text));
        }
    }
    let params = shard.params_value();
    let items = params.get("shardingItemParameters");
    let context = ShardingContext {
        // What it was called there, where that is no name here.
        job_name: params
            .get("jobName")
            .map_or_else(|| shard.job().to_string(), text),
        task_id: shard.run().as_str(),
        sharding_total_count: shard.slices(),
        job_parameter: params.get("jobParameter").map(text).unwrap_or_default(),
        sharding_item: shard.slice(),
        sharding_parameter: items
            .and_then(|items| items.get(shard.slice().to_string()))
            .map(text),
    };
    // Numbers and texts always become JSON.
    Ok(serde_json::to_string(&context).ok())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Trial;

    fn told(context: &Value, params: Value) -> Result<Option<String>, Failure> {
        let trial = Trial::new("order-job", "exec")
            .slices(3)
            .slice(1)
            .params(params);
        argument(
            &trial
                .settings(json!({"command": "c", "context": context}))
                .shard(),
        )
    }

    #[test]
    fn context_is_told_as_elasticjob_writes_it() {
        let params = json!({"jobParameter": "a \"b\"", "shardingItemParameters": {"0": "x", "1": "Beijing=\u{5317}"}});
        let argument = told(&json!("elasticjob"), params).unwrap().unwrap();
        let run = Trial::new("order-job", "exec").shard().run().to_string();
        let wanted = format!(
            "{{\"jobName\":\"order-job\",\"taskId\":\"{run}\",\"shardingTotalCount\":3,\
             \"jobParameter\":\"a \\\"b\\\"\",\"shardingItem\":1,\"shardingParameter\":\"Beijing=\u{5317}\"}}"
        );
        assert_eq!(argument, wanted);
    }

    #[test]
    fn shard_without_a_parameter_of_its_own_has_none_and_a_job_without_one_an_empty_one() {
        for params in [
            json!({}),
            json!({"shardingItemParameters": {"0": "x"}}),
            json!(7),
        ] {
            let argument = told(&json!("elasticjob"), params).unwrap().unwrap();
            assert!(
                argument.contains("\"jobParameter\":\"\"")
                    && !argument.contains("shardingParameter"),
                "{argument}"
            );
        }
    }

    #[test]
    fn job_whose_name_is_none_here_is_called_as_it_was() {
        let argument = told(&json!("elasticjob"), json!({"jobName": "OrderJob"}));
        let argument = argument.unwrap().unwrap();
        assert!(
            argument.starts_with("{\"jobName\":\"OrderJob\","),
            "{argument}"
        );
    }

    #[test]
    fn no_other_command_gets_an_argument() {
        assert_eq!(told(&Value::Null, json!({})).unwrap(), None);
        assert!(told(&json!("quartz"), json!({})).is_err());
    }
}
