use super::*;

fn names() -> (Subjects, QueueName, RunId) {
    let subjects = Subjects::new(Namespace::new("grid").unwrap());
    (
        subjects,
        QueueName::new("images").unwrap(),
        RunId::new("resize_s_7").unwrap(),
    )
}

fn lane(handler: &str) -> Lane {
    Lane::new(names().1, HandlerName::new(handler).unwrap())
}

#[test]
fn ledger_subjects_are_read_back() {
    let (subjects, queue, run) = names();
    for author in [Author::Plan, Author::Work, Author::Takeover] {
        let subject = subjects.ledger_of(&queue, &run, author);
        assert_eq!(
            subjects.parse_ledger(&subject),
            Some((queue.clone(), run.clone(), author))
        );
    }
    let id = subjects.id_of(&queue, &run);
    assert_eq!(subjects.parse_id(&id), Some((queue.clone(), run.clone())));
    assert_eq!(
        subjects.parse_ledger(&id),
        Some((queue.clone(), run.clone(), Author::Plan))
    );
    let lane = lane("thumb-2");
    assert_eq!(
        subjects.parse_shard(&subjects.shard(&lane, &run)),
        Some((lane, run))
    );
    for bad in ["grid.shard.images.a_1", "grid.shard.images.*.a_1"] {
        assert_eq!(subjects.parse_shard(bad), None, "{bad}");
    }
    for bad in [
        "grid.ledger.images.*.work",
        "grid.ledger.images.a_1.work.x",
        "other.ledger.images.a_1.work",
        "grid.ledger",
    ] {
        assert_eq!(subjects.parse_ledger(bad), None, "{bad}");
    }
}

#[test]
fn delivery_of_another_reads_as_a_delivery() {
    let (subjects, ..) = names();
    let consumer = ConsumerName::new(&lane("thumb"), 3);
    let subject = subjects.delivery_of_another(&subjects.shards(), &consumer, 70, 9);
    assert_eq!(subject, "$JS.ACK.grid-shards.images_thumb-3.1.70.9.0.0");
}

#[test]
fn submission_to_a_wildcard_is_seen_as_what_it_is() {
    let (subjects, ..) = names();
    assert_eq!(subjects.parse_submit("grid.submit.*"), Some("*"));
    assert_eq!(subjects.parse_submit("grid.submit.a.b"), Some("a.b"));
    assert_eq!(subjects.parse_submit("grid2.submit.a"), None);
}

#[test]
fn answers_go_to_inboxes_and_to_one_place_of_the_namespace_only() {
    let (subjects, ..) = names();
    for good in [
        "_INBOX.a1.b2",
        "_INBOX_web-7.a1.b2",
        "_R_.a1.b2",
        "grid.answer.web-7",
    ] {
        assert!(subjects.takes_answers(good), "{good}");
    }
    let long = format!("_INBOX.{}", "x".repeat(crate::limits::REPLY_MAX));
    for bad in [
        "$JS.API.STREAM.DELETE.grid-ledger",
        "grid.ledger.images.a.plan",
        "grid.submit.resize",
        "grid.answer",
        "grid.answer.",
        "grid.answer.>",
        "_INBOX.*",
        "_INBOXES.a",
        "_R_",
        "_R_.>",
        "_INBOX_*.a",
        "_INBOX_a",
        "_INBOX.a b",
        "_INBOX.a..b",
        "_INBOX",
        "other.answer.a",
        "",
        &long,
    ] {
        assert!(!subjects.takes_answers(bad), "{bad}");
    }
}

#[test]
fn consumer_names_belong_to_one_lane() {
    for handler in ["thumb", "thumb-2", "7"] {
        let name = ConsumerName::new(&lane(handler), 12);
        let parsed = ConsumerName::parse(name.as_str());
        assert_eq!(parsed, Some((name, lane(handler), 12)));
    }
    for other in [
        "images-1",
        "images_thumb-",
        "images_thumb-01",
        "images_thumb",
        "images_a_b-1",
    ] {
        assert_eq!(ConsumerName::parse(other), None, "{other}");
    }
}

#[test]
fn keys_of_a_bucket_are_read_back() {
    let bucket = names().0.state();
    assert_eq!(bucket.stream().as_str(), "KV_grid-state");
    assert_eq!(
        bucket.key(&bucket.subject("floor.a-1.NX")),
        Some("floor.a-1.NX")
    );
    assert_eq!(bucket.key("$KV.grid-statex.a"), None);
}

#[test]
fn what_changes_something_is_no_question_that_may_be_asked_twice() {
    for question in [
        "$JS.API.INFO",
        "$JS.hub.API.STREAM.INFO.grid-ledger",
        "$JS.API.DIRECT.GET.KV_grid-jobs.$KV.grid-jobs.a",
        "$JS.hub.API.STREAM.MSG.GET.grid-ledger",
        "$JS.API.CONSUMER.LIST.grid-shards",
    ] {
        assert!(api::changes_nothing(question), "{question}");
    }
    for other in [
        "$JS.API.STREAM.CREATE.grid-ledger",
        "$JS.API.STREAM.MSG.DELETE.grid-ledger",
        "$JS.API.CONSUMER.MSG.NEXT.grid-shards.a",
        "$JS.hub.API.$KV.grid-jobs.API.INFO",
        "grid.submit.a",
        "grid.command.cancel",
    ] {
        assert!(!api::changes_nothing(other), "{other}");
    }
}
