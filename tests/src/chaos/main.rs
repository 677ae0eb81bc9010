//! `chaos --seconds N --seed S [--cluster] [--file] [--json] [--logs DIR] [--only FAULT,FAULT|none]`: the
//! seeded mix by hand; with `--soak [--faults-every SECONDS]` in place of `--only`, the steady one. It is also the
//! command under test, so that it can be built alone.
#![expect(
    clippy::print_stdout,
    reason = "what a mix found is what this is run for"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_tests::chaos::fault::Fault;
use gridloom_tests::chaos::steady::Pool;
use gridloom_tests::chaos::verdict::Tally;
use gridloom_tests::chaos::{self, Options};
use gridloom_tests::soak;
use serde_json::{Value, json};

/// Longest list of executions at the same time that is shown.
const SHOWN: usize = 20;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|word| !word.starts_with("--")) {
        return gridloom_tests::logged::main();
    }
    match play(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(args: &[String]) -> anyhow::Result<bool> {
    let Asked {
        mix: options,
        soak,
        faults_every,
        json,
    } = read(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let say = |line: String| {
        if json {
            println!("{}", json!({ "event": line }));
        } else {
            println!("{line}");
        }
    };
    say(format!("seed {}", options.seed));
    if soak {
        let options = soak::Options {
            seed: options.seed,
            lasts: options.lasts,
            cluster: options.cluster,
            on_file: options.on_file,
            faults_every,
            logs: options.logs,
        };
        let report = runtime.block_on(Box::pin(soak::run(&options, &say)))?;
        match json {
            true => println!("{}", report.document()),
            false => report.lines().iter().for_each(|line| println!("{line}")),
        }
        return Ok(report.is_well());
    }
    let tally = runtime.block_on(Box::pin(chaos::run(&options, &say)))?;
    if json {
        println!("{}", document(&options, &tally));
    } else {
        show(&tally);
    }
    Ok(tally.breaches.is_empty())
}

/// What was typed.
struct Asked {
    mix: Options,
    /// The steady mix instead.
    soak: bool,
    faults_every: Option<Duration>,
    json: bool,
}

fn read(args: &[String]) -> anyhow::Result<Asked> {
    let mut options = Options {
        seed: gridloom_tests::seed::Seed::from_env()?.number(),
        lasts: Duration::from_secs(60),
        cluster: false,
        on_file: false,
        faults: Vec::new(),
        ticks: true,
        logs: None,
    };
    let mut only = None;
    let (mut json, mut soak, mut faults_every) = (false, false, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seconds" => options.lasts = Duration::from_secs(value()?.parse()?),
            "--seed" => options.seed = value()?.parse()?,
            "--cluster" => options.cluster = true,
            "--file" => options.on_file = true,
            "--json" => json = true,
            "--logs" => options.logs = Some(value()?.into()),
            "--soak" => soak = true,
            "--faults-every" => faults_every = Some(Duration::from_secs(value()?.parse()?)),
            "--only" => only = Some(named(value()?)?),
            _ => bail!(
                "{arg}: known are --seconds N, --seed S, --cluster, --file, --json, --logs DIR, --only FAULTS, --soak, --faults-every N"
            ),
        }
    }
    if soak && only.is_some() {
        bail!(
            "--soak goes without --only: with --faults-every N something is killed each N seconds"
        );
    }
    if faults_every.is_some_and(|every| !soak || every.is_zero()) {
        bail!("--faults-every takes one second at least, and belongs to --soak");
    }
    options.faults = only.unwrap_or_else(|| Fault::all().to_vec());
    Ok(Asked {
        mix: options,
        soak,
        faults_every,
        json,
    })
}

fn named(list: &str) -> anyhow::Result<Vec<Fault>> {
    let names = list.split(',').filter(|name| *name != "none");
    names
        .map(|name| {
            let fault = Fault::named(name);
            fault.with_context(|| format!("{name} is none of {:?}", Fault::all()))
        })
        .collect()
}

fn show(tally: &Tally) {
    println!(
        "{} runs, {} shards committed, {} tiles taken over, {} repeated, {} executions, {} at the same time with cause",
        tally.runs,
        tally.committed,
        tally.takeovers,
        tally.repeated,
        tally.executions,
        tally.overlaps.len()
    );
    for cause in tally.overlaps.iter().take(SHOWN) {
        println!("  {cause}");
    }
    println!("{}", tally.rates);
    println!(
        "the machine lost {:.1?}; {} windows do not count for that",
        tally.lost, tally.uncounted
    );
    for breach in &tally.breaches {
        println!("BREACH {breach}");
    }
    println!("{} breaches", tally.breaches.len());
}

fn document(options: &Options, tally: &Tally) -> Value {
    let rates = &tally.rates;
    let of_pool = |pool: &Pool| json!({ "seconds": pool.seconds, "shards_a_second": pool.rate() });
    let by_fault: BTreeMap<&String, Value> = rates
        .by_fault
        .iter()
        .map(|(name, pool)| (name, of_pool(pool)))
        .collect();
    json!({
        "seed": options.seed,
        "cluster": options.cluster,
        "on_file": options.on_file,
        "runs": tally.runs,
        "committed": tally.committed,
        "repeated": tally.repeated,
        "takeovers": tally.takeovers,
        "executions": tally.executions,
        "overlaps": tally.overlaps,
        "rates": {
            "before": of_pool(&rates.before),
            "after": of_pool(&rates.after),
            "by_fault": by_fault,
            "ratio": rates.ratio(),
            "judged": rates.is_judged(),
        },
        "machine_lost_seconds": tally.lost.as_secs_f64(),
        "windows_not_counted": tally.uncounted,
        "breaches": tally.breaches,
    })
}
