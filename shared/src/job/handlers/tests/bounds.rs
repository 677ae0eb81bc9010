//! What statements do with the bounds of their page.

use serde_json::json;

use super::*;

fn job(condition: &str) -> Value {
    probed(
        format!("UPDATE t SET n = n + 1 WHERE {condition}"),
        PROBE,
        json!({}),
    )
}

#[test]
fn statement_that_names_one_bound_is_refused_with_the_condition_to_write() {
    let rows = |job: Value| (job, "sql.statement", "`id BETWEEN :page_from AND :page_to`");
    refused([
        rows(job("id >= :page_from")),
        rows(job("id > :page_from")),
        rows(job("id <= :page_to")),
        rows(job(":page_to > id")),
        rows(job("id >= CAST(:page_from AS bigint)")),
        rows(job("id >= (:page_from)")),
    ]);
    let sliced = "UPDATE t SET n = n + 1 WHERE id >= :page_from AND id % :slices = :slice";
    refused([rows(probed(sliced, PROBE, slices(4)))]);
    // It may be bounded otherwise.
    for condition in [
        "id IN (SELECT id FROM t WHERE id >= :page_from ORDER BY id LIMIT 1000)",
        "id >= :page_from AND id < :page_from + 1000",
    ] {
        let warned = warnings(&job(condition));
        assert_eq!(warned.len(), 1, "{condition}: {warned:?}");
        assert!(warned[0].message.contains(":page_to"), "{warned:?}");
    }
    fine([
        job("id = :page_from"),
        job("id >= :page_from AND day = :page"),
    ]);
}

#[test]
fn bounds_that_are_swapped_are_told() {
    refused([(
        job("id BETWEEN :page_to AND :page_from"),
        "sql.statement",
        "no row is between them",
    )]);
    for condition in [
        "id >= :page_to AND id <= :page_from",
        "id >= :page_from AND id >= :page_to",
    ] {
        let warned = warnings(&job(condition));
        assert_eq!(warned.len(), 1, "{condition}: {warned:?}");
    }
}

#[test]
fn key_that_a_statement_leaves_out_of_its_page_is_warned_of() {
    for (condition, mended) in [
        ("id >= :page_from AND id < :page_to", "`<= :page_to`"),
        (":page_from <= id AND :page_to > id", "`<= :page_to`"),
        ("id > :page_from AND id <= :page_to", "`>= :page_from`"),
    ] {
        let warned = warnings(&job(condition));
        assert_eq!(warned.len(), 1, "{condition}: {warned:?}");
        assert!(warned[0].message.contains(mended), "{warned:?}");
    }
}

#[test]
fn whole_pages_in_other_words_are_fine() {
    fine([
        job("id >= :page_from AND id <= :page_to"),
        job(":page_from <= id AND :page_to >= id"),
        job("t.id BETWEEN :page_from AND :page_to"),
        job("id >= :page_from AND id < :page_to + 1"),
        job("(id, 0) >= (:page_from, 0) AND id <= :page_to"),
        job("id BETWEEN SYMMETRIC :page_to AND :page_from"),
        job("n BETWEEN 1 AND 2 AND id BETWEEN :page_from AND :page_to"),
        job("id NOT BETWEEN :page_from AND :page_to"),
        job(":page_from < :page_to AND id BETWEEN :page_from AND :page_to"),
    ]);
}

#[test]
fn probe_that_takes_so_many_rows_is_warned_of() {
    let with = |more: &str| probed(EACH, &format!("{PROBE} {more}"), json!({}));
    for more in [
        "LIMIT 1000",
        "ORDER BY 1 LIMIT 1000;",
        "FETCH FIRST 10 ROWS ONLY",
    ] {
        let warned = warnings(&with(more));
        assert_eq!(warned.len(), 1, "{more}: {warned:?}");
        assert_eq!(warned[0].path, "sql.probe");
    }
    fine([
        with("AND id > (SELECT k FROM other ORDER BY k LIMIT 1)"),
        with("-- LIMIT 1000"),
    ]);
}
