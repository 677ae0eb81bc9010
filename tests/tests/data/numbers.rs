//! Whatever number is accepted stands in the database as it was written: from the submission over the frozen
//! job and the handler's parameters.

use gridloom_shared::exact::Decimal;
use gridloom_shared::job::JobSpec;
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::submission::{MESSAGE_PACK, Submission};
use gridloom_shared::wire;
use gridloom_tests::seed::Seed;
use gridloom_worker::{Handler, Trial};

use crate::stores::{Kind, Store};

const NUMBERS: usize = 400;

/// Those that went wrong once, and their neighbours.
const KNOWN: &[&str] = &[
    "12345678901234.56",
    "-12345678901234.56",
    "0.1",
    "0",
    "-0.0",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551617",
    "1234567e8",
    "1.10",
    "1e-7",
    "123456789.123456789",
    "0.30000000000000004",
    // Two shortest texts of one float: JSON writes the even one, `f64` the other.
    "-1765148749884488.2",
    "-1765148749884488.3",
];

/// A number as people and programs write it: a few digits or many, with or without a point and an exponent.
fn written(seed: &mut Seed) -> String {
    let digits = |seed: &mut Seed, most: u64| {
        let count = 1 + seed.below(most);
        (0..count)
            .map(|_| char::from(b'0' + seed.below(10) as u8))
            .collect::<String>()
    };
    let mut text = String::new();
    if seed.below(3) == 0 {
        text.push('-');
    }
    let whole = digits(seed, 20);
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if seed.below(3) > 0 {
        text.push('.');
        text.push_str(&digits(seed, 12));
    }
    if seed.below(6) == 0 {
        text.push_str(&format!("e{}", seed.below(20) as i64 - 9));
    }
    text
}

/// The job as the handler of a run gets it, frozen with what a submission said.
fn frozen(job: &JobSpec, body: &[u8], content_type: Option<&str>) -> Option<JobSpec> {
    let submission = Submission::parse(body, content_type).ok()?;
    let frozen = submission.applied_to(job).unwrap();
    Some(wire::decode(&wire::encode(&frozen)).unwrap())
}

/// The number's ways into a job: JSON, TOML and, where it is a float there, MessagePack. `None`: refused.
fn ways(number: &str) -> Vec<(&'static str, Option<JobSpec>)> {
    let head = "name = \"numbers\"\nhandler = \"sql\"\n[sql]\ndatabase = \"main\"\n\
        statement = \"INSERT INTO numbers (id, n, again) VALUES (:page, :n, :n + 0)\"\n[params]\n";
    let plain = parse::parse(&format!("{head}n = 0"), Format::Toml).unwrap();
    let json = format!("{{\"params\": {{\"n\": {number}}}}}");
    let toml = parse::parse(&format!("{head}n = {number}"), Format::Toml);
    let mut ways = vec![
        ("JSON", frozen(&plain, json.as_bytes(), None)),
        (
            "TOML",
            toml.ok()
                .map(|job| wire::decode(&wire::encode(&job)).unwrap()),
        ),
    ];
    let float: f64 = number.parse().unwrap();
    let said = serde_json::Number::from_f64(float).map(|said| Decimal::of(&said));
    let exact = said == Decimal::parse(number);
    if exact && number.contains(['.', 'e']) {
        let head = b"\x81\xa6params\x81\xa1n\xcb".as_slice();
        let body = [head, &float.to_be_bytes()].concat();
        ways.push(("MessagePack", frozen(&plain, &body, Some(MESSAGE_PACK))));
    }
    ways
}

async fn numbers_arrive(kind: Kind) -> anyhow::Result<()> {
    let Some(mut store) = Store::open(kind).await? else {
        return Ok(());
    };
    let column = match kind {
        Kind::Postgres => "numeric",
        Kind::MySql => "decimal(65,30)",
        Kind::Sqlite => "",
    };
    let table = format!("CREATE TABLE numbers (id bigint PRIMARY KEY, n {column}, again {column})");
    store.run(&table).await?;
    let handler = store.handler();
    let mut seed = Seed::from_env()?;
    let number = seed.number();
    let random = std::iter::repeat_with(|| written(&mut seed)).take(NUMBERS);
    let all: Vec<String> = KNOWN
        .iter()
        .map(|n| (*n).to_owned())
        .chain(random)
        .collect();
    let mut asked: Vec<(&str, &str)> = Vec::new();
    for text in &all {
        for (way, job) in ways(text) {
            let Some(job) = job else { continue };
            let page = u32::try_from(asked.len())?;
            let shard = Trial::new("numbers", "sql")
                .settings(job.settings)
                .params(job.params)
                .page(page)
                .shard();
            let done = handler.run(shard).await;
            let refused = done.as_ref().is_err_and(|failure| failure.is_permanent());
            // SQLite's whole numbers end at 2^63.
            let large = kind == Kind::Sqlite && text.parse::<f64>()?.abs() > 9.2e18;
            assert!(
                done.is_ok() || refused && large,
                "seed {number}: {kind:?}, {way}, {text}: {done:?}"
            );
            asked.push((way, if refused { "" } else { text }));
        }
    }
    let stored = store
        .texts(["n", "again"], "FROM numbers ORDER BY id")
        .await?;
    let wanted: Vec<_> = asked.iter().filter(|(_, text)| !text.is_empty()).collect();
    assert_eq!(stored.len(), wanted.len());
    assert!(stored.len() > NUMBERS, "most numbers are refused");
    for ((found, again), (way, text)) in stored.iter().zip(wanted) {
        let [found, again, text] = [found, again, *text].map(Decimal::parse);
        assert_eq!(found, text, "seed {number}: {kind:?} by {way}");
        assert_eq!(again, text, "seed {number}: {kind:?} by {way}, in a sum");
    }
    Ok(())
}

#[tokio::test]
async fn number_stands_in_postgresql_as_it_was_written() {
    numbers_arrive(Kind::Postgres).await.unwrap();
}

#[tokio::test]
async fn number_stands_in_mysql_as_it_was_written() {
    numbers_arrive(Kind::MySql).await.unwrap();
}

#[tokio::test]
async fn number_stands_in_sqlite_as_it_was_written() {
    numbers_arrive(Kind::Sqlite).await.unwrap();
}
