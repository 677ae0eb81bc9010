//! `gridloom snapshot`: one file with all that a bug report or a colleague needs.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`parts`] | what is in it |
//! | [`mask`] | what does not leave the house: secrets never, names of hosts only where somebody says so |
//! | [`show`] | how one is read back |
//!
//! What cannot be read is told in it and spoils nothing else: it is taken when something is wrong.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use serde_json::{Map, Value, json};

use crate::args::{Snapshot, SnapshotArgs};
use crate::config::Config;
use crate::context::{Context, not_whole};
use crate::exit::UNREACHABLE;
use crate::fault::{Misuse, Verdict, code_of};
use crate::output::grouped;

mod mask;
mod parts;
mod show;

/// What stands in `format`.
const FORMAT: &str = "gridloom snapshot";
/// The newest that this build can show.
const VERSION: u64 = 1;

/// Does what `gridloom snapshot` says.
///
/// # Errors
/// When the file cannot be written, or read back.
pub async fn run(context: &Context, args: &SnapshotArgs) -> anyhow::Result<Verdict> {
    match (&args.order, &args.file) {
        (Some(Snapshot::Show(of)), _) => show::show(context, &of.file),
        (None, Some(file)) => take(context, args, file).await,
        (None, None) => Err(Misuse::error("name a file: gridloom snapshot FILE")),
    }
}

async fn take(context: &Context, args: &SnapshotArgs, path: &Path) -> anyhow::Result<Verdict> {
    // Before anything is asked: a file that is there is somebody's. Only its owner may look, as params of jobs are in it.
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| {
        let path = path.display();
        Misuse::error(match error.kind() {
            std::io::ErrorKind::AlreadyExists => format!(
                "{path} is there already, and may be somebody's: name a file that is not there yet, or remove it"
            ),
            std::io::ErrorKind::NotFound => {
                format!("make {path}: the directory that it is to be in is not there; make that first")
            }
            _ => format!("make {path}: {}", chain(&error)),
        })
    })?;
    let mut document = head(&context.config, args);
    let mut unread = Vec::new();
    let mut verdict = Verdict::Fine;
    let mut hosts = mask::Hosts::of(context.config.nats.exact());
    match context.ask_whatever_is_there().await {
        Ok(broker) => {
            let half = not_whole(&broker).await;
            let parts = parts::read(&broker, &args.runs).await;
            document.extend(parts.read);
            unread = parts.unread;
            if let Some(half) = half {
                let half = json!({ "part": "installation", "reason": chain(&half).to_string() });
                unread.insert(0, half);
            }
        }
        Err(error) => {
            unread.push(json!({ "part": "broker", "reason": chain(&*error).to_string() }));
            if code_of(&error) == UNREACHABLE {
                verdict = Verdict::Unreachable;
            }
        }
    }
    let missing = unread.len();
    document.insert("unread".into(), unread.into());
    let mut document = Value::Object(document);
    mask::secrets(&mut document);
    if !args.no_mask {
        hosts.learn(&document);
        hosts.mask(&mut document);
    }
    let written = write(&file, &document).inspect_err(|_| {
        // Half of it is of no use, and would be in the way of the next try.
        let _ = std::fs::remove_file(path);
    });
    let bytes = written.with_context(|| format!("write {}", path.display()))?;
    let told = json!({ "file": path, "bytes": bytes, "masked": !args.no_mask, "unread": document["unread"] });
    context.output.show(&told, |output| {
        let masked = match args.no_mask {
            true => "with names of hosts and addresses as they are",
            false => "names of hosts and addresses masked",
        };
        output.say(format!(
            "{}: {} bytes, {masked}; gridloom snapshot show reads it, and so should you before you pass it on",
            path.display(),
            grouped(bytes)
        ));
        if missing > 0 {
            for part in document["unread"].as_array().into_iter().flatten() {
                output.note(format!("{} could not be read: {}", text(&part["part"]), text(&part["reason"])));
            }
        }
    });
    Ok(verdict)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What is known without a broker.
fn head(config: &Config, args: &SnapshotArgs) -> Map<String, Value> {
    let head = json!({
        "format": FORMAT,
        "version": VERSION,
        "taken_at": UnixMs::now().rfc3339(),
        "namespace": config.namespace,
        "masked": !args.no_mask,
        "gridloom": env!("CARGO_PKG_VERSION"),
        "system": { "os": std::env::consts::OS, "architecture": std::env::consts::ARCH },
        "configuration": {
            "nats": config.nats.to_string(),
            "nats_from": config.nats_from.to_string(),
            "log": config.log,
            "variables": set_variables(),
        },
    });
    match head {
        Value::Object(head) => head,
        _ => Map::new(),
    }
}

/// Which of our variables are set: their names alone, as some hold passwords.
fn set_variables() -> Vec<String> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let mut ours: Vec<String> = names.filter(|name| name.starts_with("GRIDLOOM_")).collect();
    ours.sort();
    ours
}

fn write(file: &File, document: &Value) -> anyhow::Result<u64> {
    let mut packed = GzEncoder::new(file, Compression::default());
    serde_json::to_writer(&mut packed, document)?;
    packed.finish()?.flush()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
