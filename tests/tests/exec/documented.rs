//! The commands of docs/HANDLERS.md, run as they stand there.

use gridloom_shared::job::parse::{self, Format};

use super::*;

const PAGE: &str = include_str!("../../../docs/HANDLERS.md");

/// The scripts of the page, each with the program that runs it.
fn scripts() -> Vec<(&'static str, &'static str)> {
    let parts = PAGE.split("<!-- runs with: ").skip(1);
    let scripts = parts.map(|part| {
        let (program, rest) = part.split_once(" -->\n```").unwrap();
        let (_, text) = rest.split_once('\n').unwrap();
        (program, text.split("```").next().unwrap())
    });
    scripts.collect()
}

/// The job beside them.
fn trial_of_the_page(params: serde_json::Value) -> Trial {
    let (_, job) = PAGE
        .split_once("With a job for either:\n\n```toml\n")
        .unwrap();
    let job = parse::parse(job.split("```").next().unwrap(), Format::Toml).unwrap();
    assert_eq!(job.params, json!({"folder": "2013"}));
    Trial::new(job.name.as_str(), job.handler.as_str())
        .settings(job.settings)
        .params(params)
        .slices(job.grid.slices)
}

#[tokio::test]
async fn scripts_of_the_page_do_each_row_once() {
    let scripts = scripts();
    assert_eq!(scripts.len(), 2);
    for (program, text) in scripts {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("names"), text).unwrap();
        let mut command = ExecCommand::from_line(&format!("{program} names")).unwrap();
        command.dir = Some(dir.path().to_owned());
        let guard = PathBuf::from(env!("CARGO_BIN_EXE_gridloom-under-test"));
        let handler = ExecHandler::new(guard, [("names".to_owned(), command)].into()).unwrap();
        let mut rows = 0;
        for slice in 0..4 {
            let trial = trial_of_the_page(json!({"folder": "2013"})).slice(slice);
            let counters = run(&handler, &trial).await.unwrap();
            rows += counters[0].1;
            assert_eq!(counters[0].0, "rows");
            assert!(
                counters.iter().all(|(name, _)| name != "odd_reports"),
                "{counters:?}"
            );
        }
        assert_eq!(rows, 1_000, "{program}");
        let without = run(&handler, &trial_of_the_page(json!({}))).await;
        match without {
            Err(failure) => assert!(failure.is_permanent() && program == "python3", "{failure}"),
            Ok(_) => assert_eq!(program, "sh"),
        }
    }
}
