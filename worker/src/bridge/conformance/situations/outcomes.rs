//! How shards end, and what is said of them.

use serde_json::{Value, json};

use super::{goes_on, of, usual, with};
use crate::bridge::conformance::Situation;
use crate::bridge::conformance::answer::{Answer, Fault, cut, ensure};
use crate::bridge::conformance::engine::Engine;
use crate::guarded::Ending;

/// Most bytes of a result, and of an error that is kept.
const KEPT: usize = 1_024;

pub(super) const ALL: &[Situation] = &[
    usual(
        "done",
        "§4 done",
        "of a shard that says nothing, nothing is said",
        done,
    ),
    usual("rows", "§4 rows", "rows that were counted are told", rows),
    usual(
        "counters",
        "§4 counters",
        "counters are told, also below zero, with names of 48 bytes",
        counters,
    ),
    usual(
        "result",
        "§4 result",
        "a small result is told, of 1,024 bytes at most",
        result,
    ),
    usual(
        "result-too-long",
        "§4 done",
        "a longer result fails its shard for good, and no other",
        result_too_long,
    ),
    usual(
        "result-beyond-a-frame",
        "§2 8,388,608",
        "a result that fits in no frame fails its shard, and the connection stays",
        result_beyond,
    ),
    usual(
        "counters-too-many",
        "§4 done",
        "more counters than there is room for fail their shard for good",
        too_many,
    ),
    usual(
        "progress",
        "§4 progress",
        "rows so far are told of what takes long, four times a second at most",
        progress,
    ),
    usual(
        "retry",
        "§4 retry",
        "a failure of kind retry, without a time",
        retry,
    ),
    usual(
        "retry-after",
        "§4 after_ms",
        "a failure of kind retry says after how long",
        retry_after,
    ),
    usual(
        "permanent",
        "§4 permanent",
        "a failure of kind permanent",
        permanent,
    ),
    usual("hold", "§4 hold", "a hold says for how long", hold),
    usual(
        "throw",
        "§4 no special kind",
        "what nobody expected is tried again, with its text",
        throw,
    ),
    usual(
        "long-error",
        "§4 error",
        "an error of megabytes is cut before it is sent",
        long_error,
    ),
    usual(
        "bad-text",
        "§2 UTF-8",
        "an error that is no good text is a frame of good UTF-8",
        bad_text,
    ),
    usual(
        "prints",
        "§1 user's",
        "standard output and error are the user's",
        prints,
    ),
    usual(
        "exit",
        "§9",
        "a process that ends itself ends with its own code",
        exit,
    ),
];

fn done(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&of("ok"), 3)?;
    for answer in engine.answers(&given)? {
        let said = answer.done()?;
        let nothing = |field: &str| {
            said.get(field).is_none_or(|value| {
                *value == Value::Null || *value == json!({}) || *value == json!(0)
            })
        };
        ensure(
            ["rows", "counters", "result"].into_iter().all(nothing),
            "done with no rows, counters or result",
            || answer.to_string(),
        )?;
    }
    Ok(())
}

fn rows(engine: &mut Engine) -> Result<(), Fault> {
    for rows in [1, 120, 9_007_199_254_740_991_u64] {
        let answer = engine.run(&with("rows", json!({"rows": rows})))?;
        ensure(
            answer.done()?.get("rows") == Some(&json!(rows)),
            format!("done with {rows} rows"),
            || answer.to_string(),
        )?;
    }
    Ok(())
}

fn counters(engine: &mut Engine) -> Result<(), Fault> {
    let name = "n".repeat(48);
    let wanted =
        json!({"bytes": 5_023, "below": -7, (name): 9_007_199_254_740_991_i64, "\u{e9}": 1});
    let given = engine.give(&with("count", json!({"counters": wanted})), 2)?;
    for answer in engine.answers(&given)? {
        ensure(
            answer.done()?.get("counters") == Some(&wanted),
            format!("done with the counters {wanted}"),
            || answer.to_string(),
        )?;
    }
    Ok(())
}

fn result(engine: &mut Engine) -> Result<(), Fault> {
    for (text, times) in [
        ("ok", 1),
        ("\u{e9}", KEPT / 2),
        ("{\"a\": 1}", 1),
        ("line\n\u{1f600}\u{1}\"", 1),
    ] {
        let answer = engine.run(&with("result", json!({"text": text, "times": times})))?;
        answer.says(&text.repeat(times))?;
    }
    Ok(())
}

/// It failed for good, or it is said so that the worker fails it.
fn is_refused(answer: &Answer, too_much: impl Fn(&Value) -> bool) -> Result<(), Fault> {
    let refused = match answer {
        Answer::Done(said) => too_much(said),
        Answer::Failed(said) => said["kind"] == "permanent",
        Answer::Stopped(_) | Answer::Pages(_) => false,
    };
    ensure(
        refused,
        "fail of kind permanent, or done with all of it, which the worker refuses",
        || answer.to_string(),
    )
}

fn result_too_long(engine: &mut Engine) -> Result<(), Fault> {
    let answer = engine.run(&with("result", json!({"text": "x", "times": KEPT + 1})))?;
    is_refused(&answer, |said| {
        said["result"]
            .as_str()
            .is_some_and(|text| text.len() > KEPT)
    })?;
    let answer = engine.run(&with(
        "result",
        json!({"text": "\u{e9}", "times": KEPT / 2 + 1}),
    ))?;
    is_refused(&answer, |said| {
        said["result"]
            .as_str()
            .is_some_and(|text| text.len() > KEPT)
    })?;
    goes_on(engine)
}

/// More than a frame holds.
const VAST: usize = 10_000_000;

fn result_beyond(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&with("result", json!({"text": "x", "times": VAST})), 2)?;
    for answer in engine.answers(&given)? {
        answer.failed("permanent")?;
    }
    goes_on(engine)
}

fn too_many(engine: &mut Engine) -> Result<(), Fault> {
    let counters = |count: usize| -> Value {
        (0..count)
            .map(|n| (format!("c{n}"), json!(1)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let answer = engine.run(&with("count", json!({"counters": counters(15)})))?;
    answer.done()?;
    let answer = engine.run(&with("count", json!({"counters": counters(17)})))?;
    is_refused(&answer, |said| {
        said["counters"]
            .as_object()
            .is_some_and(|all| all.len() == 17)
    })?;
    let answer = engine.run(&with("count", json!({"counters": {("n".repeat(49)): 1}})))?;
    is_refused(&answer, |said| {
        said["counters"]
            .as_object()
            .is_some_and(|all| all.len() == 1)
    })?;
    goes_on(engine)
}

fn progress(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&with("until-stopped", json!({"rows": 5})), 1)?;
    let id = given.ids[0];
    let told = engine.until("progress with 5 rows", |engine| {
        engine.told(id).last().copied()
    })?;
    ensure(told == 5, "progress with 5 rows", || format!("{told} rows"))?;
    engine.stop(&given.ids, "cancelled")?;
    engine.answer(id)?.stopped()?;
    let frames = engine.told(id).len();
    ensure(frames <= 4 * 20, "four a second at most", || {
        format!("{frames} of them")
    })
}

fn retry(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&with("retry", json!({"error": "HTTP 503 \u{e9}"})), 3)?;
    for answer in engine.answers(&given)? {
        tells(&answer, "retry", "HTTP 503 \u{e9}")?;
        answer.after(None)?;
    }
    goes_on(engine)
}

/// It failed in this way, and its error has this in it.
fn tells(answer: &Answer, kind: &str, words: &str) -> Result<(), Fault> {
    let told = answer.failed(kind)?;
    ensure(
        told.contains(words),
        format!("fail with {words:?} in its error"),
        || answer.to_string(),
    )
}

fn retry_after(engine: &mut Engine) -> Result<(), Fault> {
    for after in [5_000, 0, 2_592_000_000_u64] {
        let answer = engine.run(&with(
            "retry-after",
            json!({"error": "HTTP 429", "after_ms": after}),
        ))?;
        tells(&answer, "retry", "HTTP 429")?;
        answer.after(Some(after))?;
    }
    Ok(())
}

fn permanent(engine: &mut Engine) -> Result<(), Fault> {
    let answer = engine.run(&with("permanent", json!({"error": "no such bucket"})))?;
    tells(&answer, "permanent", "no such bucket")
}

fn hold(engine: &mut Engine) -> Result<(), Fault> {
    let answer = engine.run(&with("hold", json!({"error": "busy", "after_ms": 2_500})))?;
    tells(&answer, "hold", "busy")?;
    answer.after(Some(2_500))
}

fn throw(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&with("throw", json!({"error": "no width"})), 2)?;
    for answer in engine.answers(&given)? {
        tells(&answer, "retry", "no width")?;
        answer.after(None)?;
    }
    goes_on(engine)
}

fn long_error(engine: &mut Engine) -> Result<(), Fault> {
    for (text, times) in [("\u{e9}", 5_000), ("x", VAST)] {
        let answer = engine.run(&with("retry", json!({"error": text, "times": times})))?;
        let told = answer.failed("retry")?;
        let kept: String = text.repeat(KEPT / 2 / text.len());
        ensure(
            told.starts_with(&kept),
            format!("an error that begins with {:?}", cut(&kept)),
            || cut(told),
        )?;
    }
    goes_on(engine)
}

fn bad_text(engine: &mut Engine) -> Result<(), Fault> {
    let answer = engine.run(&of("bad-text"))?;
    tells(&answer, "retry", "half ")?;
    goes_on(engine)
}

fn prints(engine: &mut Engine) -> Result<(), Fault> {
    let text = "{\"type\": \"bye\"} \u{e9}";
    engine.run(&with("print", json!({"text": text})))?.done()?;
    engine.until(
        "the line that it writes, on standard output and on standard error",
        |engine| {
            let lines = engine.words();
            (lines.lines().filter(|line| line.trim_end() == text).count() == 2).then_some(())
        },
    )?;
    ensure(
        !engine.said_bye(),
        "nothing of what is written counts as said",
        || "bye".to_owned(),
    )?;
    goes_on(engine)
}

fn exit(engine: &mut Engine) -> Result<(), Fault> {
    goes_on(engine)?;
    engine.give(&of("exit"), 1)?;
    let within = engine.within();
    let ending = engine.ended(within)?;
    ensure(ending == Ending::Code(3), "exit code 3", || {
        ending.to_string()
    })
}
