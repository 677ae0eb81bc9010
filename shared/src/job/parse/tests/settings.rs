//! What a job says to its handler alone, what submissions may change, and files of the form before that.

use super::*;

const SQL: &str = "name = \"a\"\nhandler = \"sql\"\n";

fn toml(text: &str) -> Result<JobSpec, Faults> {
    parse(text, Format::Toml)
}

#[test]
fn each_mistake_in_settings_is_told_by_its_key() {
    for (text, found) in [
        ("", vec!["sql.database", "sql.statement"]),
        ("sql = 7", vec!["sql"]),
        (
            "[sql]\ndatabase = \"d\"\nstatment = \"x\"",
            vec!["sql.statment", "sql.statement"],
        ),
        (
            "[sql]\ndatabase = 7\nstatement = \" \"",
            vec!["sql.database", "sql.statement"],
        ),
        (
            "[sql]\ndatabase = \"d\"\nstatement = []",
            vec!["sql.statement"],
        ),
        (
            "[sql]\ndatabase = \"d\"\nstatement = [\"x\", 7]",
            vec!["sql.statement[1]"],
        ),
        (
            "[sql]\ndatabase = \"d\"\nstatement = \"x\"\nkey = \"uuid\"",
            vec!["sql.key"],
        ),
        (
            "[sql]\ndatabase = \"d\"\nstatement = \"x\"\n[exec]\ncommand = \"c\"",
            vec!["exec"],
        ),
        (
            "[sql]\ndatabase = \"d\"\nstatement = \"x\"\n[grid]\npages = { probe = true }",
            vec!["sql.probe"],
        ),
        (
            "[sql]\ndatabase = \"d\"\nstatement = \"x\"\n[resize]\nwidth = 7",
            vec!["resize"],
        ),
    ] {
        let faults = toml(&format!("{SQL}{text}")).unwrap_err();
        assert_eq!(paths(&faults), found, "{text}: {faults}");
    }
    let noop = toml("name = \"a\"\nhandler = \"noop\"\n[noop]\nsleep_ms = 1").unwrap_err();
    assert_eq!(paths(&noop), ["noop"]);
    let exec = toml("name = \"a\"\nhandler = \"exec\"").unwrap_err();
    assert_eq!(paths(&exec), ["exec.command"]);
    let context = |said: &str| {
        let text = "name = \"a\"\nhandler = \"exec\"\n[exec]\ncommand = \"c\"\ncontext = ";
        toml(&format!("{text}{said}"))
    };
    assert!(context("\"elasticjob\"").is_ok());
    assert_eq!(paths(&context("\"quartz\"").unwrap_err()), ["exec.context"]);
}

#[test]
fn handler_that_workers_register_has_settings_of_its_own() {
    let job = "name = \"a\"\nhandler = \"resize\"\n[resize]\nsizes = [1, 2]\ndeep = { er = true }";
    let spec = toml(job).unwrap();
    assert_eq!(
        spec.settings,
        json!({"sizes": [1, 2], "deep": {"er": true}})
    );
    let large = format!("{job}\ntext = \"{}\"", "x".repeat(crate::job::SETTINGS_MAX));
    assert_eq!(paths(&toml(&large).unwrap_err()), ["resize"]);
    for taken in ["grid", "params", "submit", "schedule", "name"] {
        let faults = toml(&format!("name = \"a\"\nhandler = \"{taken}\"")).unwrap_err();
        assert!(paths(&faults).contains(&"handler"), "{taken}: {faults}");
    }
}

#[test]
fn list_of_what_a_submission_may_change_is_closed() {
    let allow = |list: &str| {
        toml(&format!(
            "name = \"a\"\nhandler = \"noop\"\n[submit]\n{list}"
        ))
    };
    assert_eq!(allow("allow = []").unwrap().submit.allow.len(), 0);
    assert_eq!(allow("").unwrap().submit, SubmitSpec::default());
    for (bad, path) in [
        ("allow = \"params\"", "submit.allow"),
        ("allow = [\"sql\"]", "submit.allow[0]"),
        ("allow = [\"params\", \"sql.statement\"]", "submit.allow[1]"),
        ("allow = [\"limits\"]", "submit.allow[0]"),
        ("allow = [\"params.a.b\"]", "submit.allow[0]"),
        ("allow = [7]", "submit.allow[0]"),
        ("alow = []", "submit.alow"),
    ] {
        assert_eq!(paths(&allow(bad).unwrap_err()), [path], "{bad}");
    }
    let many = format!(
        "allow = [{}]",
        "\"params\", ".repeat(crate::job::ALLOWED_MAX + 1)
    );
    assert_eq!(paths(&allow(&many).unwrap_err()), ["submit.allow"]);
}

/// The form that the message of a file's one fault shows.
fn shown(text: &str, format: Format) -> String {
    let faults = parse(text, format).unwrap_err();
    assert_eq!(paths(&faults), ["params"], "{faults}");
    let (_, shown) = faults.0[0].message.split_once("\n\n").unwrap();
    shown.to_owned()
}

#[test]
fn file_of_the_former_form_is_shown_in_the_new_one_comments_and_all() {
    let before = "# Sums.\nname = \"sums\"\nhandler = \"sql\"\n\n[params] # told\n# Where.\ndatabase = \"main\"\nday = \"[params]\" # not a setting\n# What.\nstatement = \"\"\"\nUPDATE a\nSET b = :day WHERE c % :slices = :slice\n\"\"\"\n[grid]\nslices = 4\n";
    let after = "# Sums.\nname = \"sums\"\nhandler = \"sql\"\n\n[sql]\n# Where.\ndatabase = \"main\"\n# What.\nstatement = \"\"\"\nUPDATE a\nSET b = :day WHERE c % :slices = :slice\n\"\"\"\n\n[params] # told\nday = \"[params]\" # not a setting\n[grid]\nslices = 4\n";
    assert_eq!(shown(before, Format::Toml), after);
    assert!(toml(after).is_ok());

    let before = "name = \"c\"\nhandler = \"exec\"\n[params]\ncommand = \"resize\"";
    let after = "name = \"c\"\nhandler = \"exec\"\n[exec]\ncommand = \"resize\"\n";
    assert_eq!(shown(before, Format::Toml), after);
    let deep =
        "name = \"c\"\nhandler = \"exec\"\n[params]\ncommand = \"resize\"\n[params.deep]\nx = 1\n";
    let spec = toml(&shown(deep, Format::Toml)).unwrap();
    assert_eq!(
        (spec.settings, spec.params),
        (json!({"command": "resize"}), json!({"deep": {"x": 1}}))
    );
}

#[test]
fn former_form_in_whatever_writing_is_shown_as_a_file_that_is_read() {
    let wanted = (json!({"command": "c", }), json!({"width": 7}));
    for text in [
        "name = \"a\"\nhandler = \"exec\"\nparams = { command = \"c\", width = 7 }",
        "name = \"a\"\nhandler = \"exec\"\nparams.command = \"c\"\nparams.width = 7",
        "name = \"a\"\nhandler = \"exec\"\n  [ params ]\n  width = 7\n  command = \"c\"",
        "name = \"a\"\r\nhandler = \"exec\"\r\n[params]\r\nwidth = 7\r\ncommand = \"c\"\r\n",
    ] {
        let spec = toml(&shown(text, Format::Toml)).unwrap();
        assert_eq!((spec.settings, spec.params), wanted, "{text}");
    }
    let text = json!({"name": "a", "handler": "exec", "params": {"command": "c", "width": 7}});
    let spec = parse(&shown(&text.to_string(), Format::Json), Format::Json).unwrap();
    assert_eq!((spec.settings, spec.params), wanted);
}

#[test]
fn former_form_hides_no_other_mistake() {
    let faults = toml("name = \"A\"\nhandler = \"exec\"\n[params]\ncommand = 7").unwrap_err();
    assert_eq!(paths(&faults), ["params", "name", "exec.command"]);
}

#[test]
fn parameters_called_like_settings_stay_parameters_beside_settings() {
    let text = format!(
        "{SQL}[sql]\ndatabase = \"d\"\nstatement = \"SELECT :key, :statement\"\n[params]\nkey = \"x\"\nstatement = \"y\""
    );
    assert_eq!(
        toml(&text).unwrap().params,
        json!({"key": "x", "statement": "y"})
    );
}

#[test]
fn stored_definition_of_the_former_form_is_no_job_and_says_what_to_do() {
    let spec = toml("name = \"a\"\nhandler = \"noop\"").unwrap();
    let mut body = json!(spec);
    assert_eq!(
        serde_json::from_value::<JobSpec>(body.clone()).unwrap(),
        spec
    );
    body.as_object_mut().unwrap().remove("settings");
    let bytes = rmp_serde::to_vec_named(&json!({"v": 1, "body": body})).unwrap();
    let error = crate::wire::decode::<JobSpec>(&bytes).unwrap_err();
    assert!(error.to_string().contains("earlier form"), "{error}");
}
