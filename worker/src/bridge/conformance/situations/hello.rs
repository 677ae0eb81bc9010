//! How it begins.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::{MORTAL, SLOTS, Start, USUAL, begun, goes_on, of, usual};
use crate::bridge::conformance::answer::{Fault, ensure, fault, short};
use crate::bridge::conformance::engine::Engine;
use crate::bridge::conformance::{Kind, Situation};
use crate::bridge::frame::frame;

/// What the program has (docs/SDK-TEST.md).
pub(super) const HANDLERS: &[&str] = &[
    "ok",
    "where",
    "echo",
    "settings",
    "bounds",
    "owns",
    "deadline",
    "rows",
    "count",
    "result",
    "retry",
    "retry-after",
    "permanent",
    "hold",
    "throw",
    "bad-text",
    "exit",
    "until-stopped",
    "ignore-stop",
    "span",
    "print",
    "leave",
    "pages",
    "pages-text",
    "pages-fail",
];
/// Those of them with a probe.
const PROBES: &[&str] = &["pages", "pages-text", "pages-fail"];

const LISTENS: Option<&str> = Some("a program listens where it likes");
const FREE: Start = Start {
    slots: None,
    as_child: Some("nobody says a program's slots but itself"),
    ..USUAL
};
const TCP: Start = Start {
    kind: Kind::Tcp,
    as_child: LISTENS,
    ..USUAL
};
const TCP6: Start = Start {
    kind: Kind::Tcp6,
    as_child: LISTENS,
    ..USUAL
};
const UNWELCOMED: Start = Start {
    welcomed: false,
    ..USUAL
};
const REFUSED: Start = Start {
    welcomed: false,
    ..MORTAL
};

pub(super) const ALL: &[Situation] = &[
    usual(
        "hello",
        "§4 hello",
        "it says who it is: token, versions, handlers, probes, slots",
        hello,
    ),
    begun(
        FREE,
        "slots-left-out",
        "§1 GRIDLOOM_SLOTS",
        "where nobody says how many slots it has, it says so itself",
        slots_left_out,
    ),
    begun(
        TCP,
        "tcp",
        "§1 GRIDLOOM_SOCKET",
        "it connects over loopback TCP where it is told so",
        goes_on,
    ),
    begun(
        TCP6,
        "tcp-ipv6",
        "§1 GRIDLOOM_SOCKET",
        "it connects to `tcp:[::1]:PORT`, of IPv6",
        goes_on,
    ),
    begun(
        UNWELCOMED,
        "welcome-and-tile-at-once",
        "§2",
        "welcome and a tile come in one piece",
        at_once,
    ),
    begun(
        REFUSED,
        "closed-before-welcome",
        "§9",
        "where no version is common the worker closes: it ends with 70",
        not_welcome,
    ),
];

fn hello(engine: &mut Engine) -> Result<(), Fault> {
    let hello = engine.hello().clone();
    names(&hello, "handlers", HANDLERS)?;
    names(&hello, "probes", PROBES)?;
    let slots = hello.get("slots").and_then(Value::as_u64);
    ensure(
        slots == Some(u64::from(SLOTS)),
        format!("{SLOTS} slots, as GRIDLOOM_SLOTS says"),
        || format!("slots: {}", short(&hello["slots"])),
    )?;
    let versions: Option<Vec<u64>> = serde_json::from_value(hello["protocol"].clone()).ok();
    let versions = versions.unwrap_or_default();
    ensure(
        versions.first() <= Some(&1) && versions.last() >= Some(&1),
        "version 1 among its versions",
        || format!("protocol: {}", short(&hello["protocol"])),
    )?;
    let sdk = hello.get("sdk").and_then(Value::as_str).unwrap_or_default();
    ensure(
        !sdk.is_empty() && sdk.len() <= 64,
        "a name of the library of 1 to 64 bytes, as sdk",
        || format!("sdk: {}", short(&hello["sdk"])),
    )
}

/// It names exactly these.
fn names(hello: &Value, field: &str, wanted: &[&str]) -> Result<(), Fault> {
    let named = hello
        .get(field)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let named: BTreeSet<&str> = named.iter().filter_map(Value::as_str).collect();
    let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
    let lacking: Vec<_> = wanted.difference(&named).collect();
    let strange: Vec<_> = named.difference(&wanted).collect();
    ensure(
        lacking.is_empty() && strange.is_empty(),
        format!("the {field} of docs/SDK-TEST.md"),
        || format!("without {lacking:?}, and beside them {strange:?}"),
    )
}

fn slots_left_out(engine: &mut Engine) -> Result<(), Fault> {
    let slots = match engine.hello().get("slots") {
        None | Some(Value::Null) => Some(1),
        Some(slots) => slots.as_u64(),
    };
    ensure(
        slots.is_some_and(|slots| slots >= 1),
        "one slot or more",
        || short(&engine.hello()["slots"]),
    )?;
    goes_on(engine)
}

fn at_once(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.tile(&of("ok"), 2);
    let mut bytes = Vec::new();
    for message in [&engine.welcome(), &given.message] {
        let frame = frame(message).ok_or_else(|| fault("a frame", "none"))?;
        bytes.extend_from_slice(&frame);
    }
    engine.send(&bytes)?;
    for answer in engine.answers(&given)? {
        answer.done()?;
    }
    Ok(())
}

fn not_welcome(engine: &mut Engine) -> Result<(), Fault> {
    engine.quiet(Duration::from_millis(100))?;
    engine.cut_off()
}
