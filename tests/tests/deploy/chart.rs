//! The Helm chart: what helm itself says of it, what the schemas of Kubernetes say of what it renders, rules of our own
//! for what no schema sees, and its containers' commands as processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::free_port;
use gridloom_planner::api::access::digest;
use gridloom_shared::id::WorkerName;
use gridloom_tests::certificates::Authority;
use gridloom_tests::http;
use serde_json::Value;

use super::broker::{Broker, password, work};
use super::declared::Declared;
use super::{documents, root, said, succeeded, text, texts, tool};

const CHART: &str = "deploy/helm/gridloom";
/// Everything turned on.
const VALUES: &str = "tests/tests/deploy/values.yaml";
/// Secrets that those values name.
const SECRETS: [&str; 5] = [
    "gridloom-planner",
    "gridloom-worker",
    "gridloom-databases",
    "gridloom-api-tokens",
    "gridloom-api-tls",
];
/// What its planners are asked with.
const TOKEN: &str = "glt_chart";
/// The oldest Kubernetes that the chart is for, and a new one.
const KUBERNETES: [&str; 2] = ["1.27", "1.36"];

fn helm() -> Option<PathBuf> {
    tool("helm", "version")
}

/// What the chart makes of these values.
fn rendered(helm: &Path, more: &[&str]) -> anyhow::Result<Vec<Value>> {
    released(helm, "test", more)
}

/// What it makes of them for a release of that name.
fn released(helm: &Path, release: &str, more: &[&str]) -> anyhow::Result<Vec<Value>> {
    let mut command = Command::new(helm);
    command
        .args(["template", release])
        .arg(root().join(CHART))
        .args(more);
    documents(&succeeded(&mut command)?)
}

fn with_everything(helm: &Path) -> anyhow::Result<Vec<Value>> {
    let values = root().join(VALUES);
    rendered(helm, &["--values", values.to_str().context("a path")?])
}

#[test]
fn helm_finds_nothing_wrong_with_the_chart() -> anyhow::Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    for more in [vec![], vec!["--values", VALUES]] {
        let mut lint = Command::new(&helm);
        lint.args(["lint", "--strict", CHART])
            .args(more)
            .current_dir(root());
        succeeded(&mut lint)?;
    }
    Ok(())
}

#[test]
fn values_that_cannot_be_are_refused() -> anyhow::Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    for (bad, words) in [
        ("worker.concurency=3", "concurency"),
        ("nats.url=nats://me:hunter2@h", "/nats/url"),
        ("planner.auth.creds=x", "/planner/auth/secret"),
        ("workers.A.replicas=1", "propertyName"),
        ("logFormat=xml", "logFormat"),
        ("worker.keda.enabled=true", "name the consumers"),
        ("planner.api.enabled=true", "/planner/api/tokens/secret"),
        ("planner.api.basePath=/a/", "/planner/api/basePath"),
        ("planner.api.basePath=/a/../b", "/planner/api/basePath"),
        ("planner.api.tls.cert=x", "cert"),
    ] {
        let mut command = Command::new(&helm);
        command
            .args(["template", "test", CHART, "--set", bad])
            .current_dir(root());
        let output = command.output()?;
        let said = said(&output);
        assert!(
            !output.status.success() && said.contains(words),
            "{bad}: {said}"
        );
    }
    Ok(())
}

/// Whether an object is one of Kubernetes itself.
fn is_own(object: &Value) -> bool {
    let group = object["apiVersion"].as_str().unwrap_or_default();
    !["keda.sh/", "monitoring.coreos.com/"]
        .iter()
        .any(|other| group.starts_with(other))
}

#[test]
fn what_is_rendered_is_what_kubernetes_takes() -> anyhow::Result<()> {
    let (Some(helm), Some(validate)) = (helm(), tool("kubernetes-validate", "--help")) else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    for (name, objects) in [
        ("bare", rendered(&helm, &[])?),
        ("all", with_everything(&helm)?),
    ] {
        let own: Vec<String> = objects
            .iter()
            .filter(|object| is_own(object))
            .map(Value::to_string)
            .collect();
        ensure!(own.len() > 4, "{own:?}");
        let path = place.path().join(format!("{name}.yaml"));
        std::fs::write(&path, own.join("\n---\n"))?;
        for version in KUBERNETES {
            let mut command = Command::new(&validate);
            command.args(["--strict", "-k", version]).arg(&path);
            // It tells of each object, and ends with 0 where it did nothing, too.
            let output = command.output()?;
            let said = said(&output);
            let passed = said.matches(" passed for resource ").count();
            ensure!(output.status.success() && passed == own.len(), "{said}");
        }
    }
    Ok(())
}

fn name(object: &Value) -> String {
    let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
    format!(
        "{}/{}",
        kind.as_str().unwrap_or_default(),
        name.as_str().unwrap_or_default()
    )
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// Whether labels have all that a selector wants, and it wants something.
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object();
    wanted.is_some_and(|wanted| {
        !wanted.is_empty() && wanted.iter().all(|(name, value)| &labels[name] == value)
    })
}

#[test]
fn objects_find_each_other() -> anyhow::Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let objects = with_everything(&helm)?;
    let names: BTreeSet<String> = objects.iter().map(name).collect();
    assert_eq!(names.len(), objects.len(), "each name once");
    let pods: Vec<&Value> = of_kind(&objects, "Deployment")
        .map(|it| &it["spec"]["template"]["metadata"]["labels"])
        .collect();
    assert_eq!(pods.len(), 3);
    for object in &objects {
        let spec = &object["spec"];
        let (selector, chosen): (_, Vec<&Value>) = match object["kind"].as_str().unwrap_or_default()
        {
            "Deployment" | "PodDisruptionBudget" => {
                (&spec["selector"]["matchLabels"], pods.clone())
            }
            "NetworkPolicy" => (&spec["podSelector"]["matchLabels"], pods.clone()),
            "Service" => (&spec["selector"], pods.clone()),
            "ServiceMonitor" => {
                // As deploy/prometheus/prometheus.yml has it: alerts and dashboards rest on it.
                assert_eq!(spec["endpoints"][0]["honorLabels"], true);
                let services = of_kind(&objects, "Service").map(|it| &it["metadata"]["labels"]);
                (&spec["selector"]["matchLabels"], services.collect())
            }
            "ScaledObject" => {
                let target = format!(
                    "Deployment/{}",
                    spec["scaleTargetRef"]["name"].as_str().unwrap_or_default()
                );
                ensure!(names.contains(&target), "{target}");
                continue;
            }
            "PrometheusRule" => {
                let ours = documents(&text("deploy/prometheus/alerts.yml")?)?;
                assert_eq!(spec, &ours[0], "the rules are those of deploy/prometheus");
                continue;
            }
            "ServiceAccount" => continue,
            other => anyhow::bail!("the chart makes a {other}, of which this test knows nothing"),
        };
        let hit = chosen
            .iter()
            .filter(|labels| selects(selector, labels))
            .count();
        let of_all = object["kind"] == "Service" && name(object).ends_with("-metrics");
        let wanted = if of_all { pods.len() } else { 1 };
        assert_eq!(hit, wanted, "{}: {selector}", name(object));
    }
    Ok(())
}

/// What holds for each pod, whatever the values say.
fn check_pod(deployment: &Value) -> anyhow::Result<()> {
    let pod = &deployment["spec"]["template"]["spec"];
    let [container] = pod["containers"]
        .as_array()
        .context("containers")?
        .as_slice()
    else {
        anyhow::bail!("one container");
    };
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let security = &container["securityContext"];
    for (key, value) in [
        ("readOnlyRootFilesystem", Value::Bool(true)),
        ("allowPrivilegeEscalation", Value::Bool(false)),
        ("capabilities", serde_json::json!({"drop": ["ALL"]})),
        (
            "seccompProfile",
            serde_json::json!({"type": "RuntimeDefault"}),
        ),
    ] {
        assert_eq!(security[key], value, "{key}");
    }
    let ports: Vec<&Value> = container["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| &port["name"])
        .collect();
    for (probe, path) in [("livenessProbe", "/live"), ("readinessProbe", "/ready")] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(asked["path"], path);
        assert!(ports.contains(&&asked["port"]), "{asked}");
    }
    let volumes = pod["volumes"].as_array().context("volumes")?;
    let names: BTreeSet<&str> = volumes
        .iter()
        .filter_map(|volume| volume["name"].as_str())
        .collect();
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let mounted: BTreeSet<&str> = mounts.filter_map(|mount| mount["name"].as_str()).collect();
    assert_eq!(names, mounted);
    for volume in volumes
        .iter()
        .filter_map(|volume| volume["secret"]["secretName"].as_str())
    {
        assert!(SECRETS.contains(&volume), "{volume}");
    }
    let spread = &pod["topologySpreadConstraints"][0];
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert!(
        selects(&spread["labelSelector"]["matchLabels"], labels),
        "{spread}"
    );
    Ok(())
}

#[test]
fn pods_are_restricted_and_ask_for_what_is_there() -> anyhow::Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let objects = with_everything(&helm)?;
    for deployment in of_kind(&objects, "Deployment") {
        check_pod(deployment).with_context(|| name(deployment))?;
    }
    // Where KEDA says how many there are, the chart does not.
    let counts: BTreeMap<String, bool> = of_kind(&objects, "Deployment")
        .map(|it| (name(it), it["spec"]["replicas"].is_number()))
        .collect();
    let counted: Vec<bool> = counts.into_values().collect();
    assert_eq!(counted, [true, false, true]);
    Ok(())
}

#[test]
fn worker_is_called_like_its_pod_where_that_is_a_name_for_one() -> anyhow::Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    for (release, named) in [("test", true), ("a-release-with-a-long-name", false)] {
        let objects = released(&helm, release, &[])?;
        let mut deployments = of_kind(&objects, "Deployment");
        let worker = deployments.find(|it| name(it).contains("-worker-"));
        let declared = declared(worker.context("a worker")?, Path::new("/secrets"))?;
        let called = declared.env.get("GRIDLOOM_WORKER_NAME");
        assert_eq!(called.is_some(), named, "{called:?}");
        assert!(
            called.is_none_or(|called| WorkerName::new(called).is_ok()),
            "{called:?}"
        );
    }
    Ok(())
}

#[test]
fn planners_serve_their_api_to_others_where_that_is_wanted_and_only_then() -> anyhow::Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let is_of_api = |object: &&Value| name(object).ends_with("-api");
    let bare = rendered(&helm, &[])?;
    assert_eq!(bare.iter().filter(is_of_api).count(), 0);
    let objects = with_everything(&helm)?;
    let service = objects.iter().find(is_of_api).context("a service")?;
    let planner = of_kind(&objects, "Deployment").find(|it| name(it).ends_with("-planner"));
    let planner = planner.context("planners")?;
    let labels = &planner["spec"]["template"]["metadata"]["labels"];
    assert!(selects(&service["spec"]["selector"], labels), "{service}");
    let port = &service["spec"]["ports"][0];
    let container = &planner["spec"]["template"]["spec"]["containers"][0];
    let ports = container["ports"].as_array().into_iter().flatten();
    let mut ports = ports.filter(|found| found["name"] == port["targetPort"]);
    assert_eq!(ports.next().context("its port")?["containerPort"], 7070);
    let env = declared(planner, Path::new("/secrets"))?.env;
    for (variable, value) in [
        ("LISTEN", "0.0.0.0:7070"),
        ("TOKENS_FILE", "/secrets/gridloom-api-tokens/tokens"),
        ("TLS_CERT", "/secrets/gridloom-api-tls/tls.crt"),
        ("TLS_KEY", "/secrets/gridloom-api-tls/tls.key"),
        ("BASE_PATH", "/gridloom"),
        ("READ_ONLY", "true"),
    ] {
        let found = env.get(&format!("GRIDLOOM_API_{variable}"));
        assert_eq!(found.map(String::as_str), Some(value), "{variable}");
    }
    let policies = of_kind(&objects, "NetworkPolicy");
    let opens = |policy: &&Value| policy["spec"]["ingress"].to_string().contains("\"api\"");
    let open: Vec<String> = policies.filter(opens).map(name).collect();
    assert_eq!(open, ["NetworkPolicy/test-gridloom-planner"]);
    Ok(())
}

/// What the container of a Deployment runs, with the places where its secrets would be replaced by `secrets`.
fn declared(deployment: &Value, secrets: &Path) -> anyhow::Result<Declared> {
    let spec = &deployment["spec"]["template"]["spec"];
    let container = &spec["containers"][0];
    let deployed = deployment["metadata"]["name"].as_str().context("a name")?;
    let pod = format!("{deployed}-6d4cf56db6-x7k2p");
    let mut env = BTreeMap::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.name") => pod.as_str(),
            Some(other) => anyhow::bail!("a field {other}"),
            None => variable["value"].as_str().context("a value")?,
        };
        let name = variable["name"].as_str().context("a name")?.to_owned();
        ensure!(
            env.insert(name, value.to_owned()).is_none(),
            "{variable} is there twice"
        );
    }
    let declared = Declared {
        name: name(deployment),
        args: texts(&container["args"]),
        env,
    };
    let volumes = spec["volumes"].as_array().context("volumes")?.iter();
    let secret_of = |name: &Value| {
        let volume = volumes.clone().find(|volume| &volume["name"] == name);
        volume.and_then(|volume| volume["secret"]["secretName"].as_str())
    };
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let places = mounts.filter_map(|mount| {
        let place = secrets.join(secret_of(&mount["name"])?);
        Some((
            mount["mountPath"].as_str()?.to_owned(),
            place.display().to_string(),
        ))
    });
    Ok(declared.at(&places.collect::<Vec<_>>()))
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_containers_work_together() -> anyhow::Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let objects = with_everything(&helm)?;
    let broker = Broker::start().await?;
    let secrets = tempfile::tempdir()?;
    for secret in SECRETS {
        let place = secrets.path().join(secret);
        std::fs::create_dir(&place)?;
        let role = secret.trim_start_matches("gridloom-");
        std::fs::write(place.join("password"), password(role))?;
        std::fs::write(place.join("databases"), "shop=sqlite:shop.db?mode=rwc\n")?;
        std::fs::write(
            place.join("tokens"),
            format!("ada=viewer:{}\n", digest(TOKEN)),
        )?;
    }
    let authority = Authority::new(secrets.path(), "authority")?;
    let shown = authority.sign("shown", &["localhost"])?;
    for (from, to) in [(&shown.cert, "tls.crt"), (&shown.key, "tls.key")] {
        std::fs::copy(from, secrets.path().join("gridloom-api-tls").join(to))?;
    }
    let mut services = Vec::new();
    // Planners first: they make the streams.
    for deployment in of_kind(&objects, "Deployment") {
        let declared = declared(deployment, secrets.path())?;
        let (here, api) = (free_port()?, free_port()?);
        let places = [
            ("nats://nats:4222".to_owned(), broker.url()),
            ("0.0.0.0:9464".to_owned(), format!("127.0.0.1:{here}")),
            ("0.0.0.0:7070".to_owned(), format!("127.0.0.1:{api}")),
        ];
        services.push(declared.at(&places));
    }
    services.sort_by_key(|service| service.args != ["planner"]);
    assert_eq!(services[0].args, ["planner"]);
    work(&broker, &services).await?;
    for scaled in of_kind(&objects, "ScaledObject") {
        for trigger in scaled["spec"]["triggers"].as_array().context("triggers")? {
            lag_is_told(&broker, &trigger["metadata"]).await?;
        }
    }
    Ok(())
}

/// The broker's monitoring knows the consumer that KEDA is told to look at.
async fn lag_is_told(broker: &Broker, trigger: &Value) -> anyhow::Result<()> {
    let text = |key: &str| trigger[key].as_str().context(key.to_owned());
    let (account, stream, consumer) = (text("account")?, text("stream")?, text("consumer")?);
    let address = format!("127.0.0.1:{}", broker.monitoring);
    let path = format!("/jsz?acc={account}&consumers=true&config=true");
    let answer = http::get(&address, &path).await?;
    let from = answer.find('{').context("a document")?;
    let to = answer.rfind('}').context("its end")?;
    let told: Value = serde_json::from_str(&answer[from..=to])?;
    let streams = told["account_details"][0]["stream_detail"].as_array();
    let mut streams = streams.context("streams")?.iter();
    let found = streams
        .find(|found| found["name"] == stream)
        .context(stream.to_owned())?;
    let consumers = found["consumer_detail"].as_array().context("consumers")?;
    let found = consumers.iter().find(|found| found["name"] == consumer);
    let found = found.with_context(|| format!("{consumer} in {consumers:?}"))?;
    ensure!(
        found["num_pending"].is_u64() && found["num_ack_pending"].is_u64(),
        "{found}"
    );
    Ok(())
}
