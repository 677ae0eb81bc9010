//! A database or a command that no worker knows: no definition can be wrong in it, so everybody who asks workers says so.

use std::time::Duration;

use gridloom_shared::id::RunId;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};

const SOON: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn database_and_command_that_no_worker_knows_are_named_by_apply_doctor_run_and_show()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let sql = stage.dir().join("sql.toml");
        std::fs::write(
            &sql,
            "name = \"slip\"\nhandler = \"sql\"\n[sql]\ndatabase = \"mian\"\nstatement = \"SELECT :day\"",
        )?;
        let sql = sql.to_string_lossy().into_owned();
        let apply = async || stage.cli(&["--json", "job", "apply", &sql], SOON).await;
        // Nobody is there who could run it: nobody is missed yet. What the definition shows, a program gets too.
        let alone = apply().await?.succeeded()?.json()?;
        assert_eq!(alone[0]["change"], "created");
        let warnings = alone[0]["warnings"].as_array().map_or(0, Vec::len);
        assert_eq!(warnings, 1, "{alone}");
        let told = alone[0]["warnings"][0].as_str().unwrap_or_default();
        assert!(told.starts_with("sql.statement: names :day"), "{told}");

        let store = format!("main=sqlite:{}", stage.dir().join("a.db").display());
        let flags = ["--database", &store, "--exec", "resize=/bin/true"];
        stage.start_worker(2, &flags).await?;
        let exec = "name = \"typo\"\nhandler = \"exec\"\nexec = { command = \"rezise\" }";
        stage.apply(exec).await?;
        let stage = &*stage;
        eventually(SOON, "doctor names both", async || {
            let said = stage.cli(&["doctor"], SOON).await?;
            let names = |job: &str, name: &str, known: &str, flag: &str| {
                let of = |line: &&str| line.starts_with("jobs") && line.contains("BAD");
                let mut lines = said.stdout.lines();
                let at = lines.position(|line| {
                    of(&line) && [job, name, known].iter().all(|word| line.contains(word))
                });
                at.is_some() && lines.next().is_some_and(|advice| advice.contains(flag))
            };
            let both = names("job slip", "\"mian\"", "knows main", "--database mian=URL")
                && names("job typo", "\"rezise\"", "knows resize", "--exec rezise=COMMAND");
            Ok(both && said.code == 1)
        })
        .await?;

        let told = stage.cli(&["--json", "job", "apply", &sql], SOON).await?;
        let told = told.succeeded()?.json()?;
        let names = told[0]["warnings"].as_array().into_iter().flatten();
        let names = names.filter_map(|one| one.as_str());
        let named: Vec<_> = names.filter(|one| one.starts_with("sql.database")).collect();
        assert_eq!(named.len(), 1, "{told}");
        assert!(named[0].contains("knows main"), "{named:?}");
        let told = stage.cli(&["job", "apply", &sql], SOON).await?.succeeded()?;
        assert!(told.stderr.contains("job slip: warning: sql.database"), "{told:?}");

        // Nobody has it: nothing is used up, and who looks sees why nothing moves.
        stage.cli(&["run", "typo", "--id", "one"], SOON).await?.succeeded()?;
        let run = RunId::from_request(&"typo".parse()?, "one");
        eventually(SOON, "show says what is missing", async || {
            let shown = stage.cli(&["show", run.as_str()], SOON).await?.succeeded()?.stdout;
            let words = [
                "find command \"rezise\" in the configuration of this worker, which has resize",
                "does not count",
                "command \"rezise\" is not known to the only worker of queue default, which knows resize",
            ];
            Ok(words.iter().all(|word| shown.contains(word)))
        })
        .await?;
        Ok(())
    })
    .await
}

/// Doctor and apply name the one that lacks what a job names.
async fn told_of_some(stage: &Stage, exec: &str) -> anyhow::Result<()> {
    eventually(SOON, "doctor and apply name who lacks what", async || {
        let said = stage.cli(&["doctor"], SOON).await?;
        let part = |kind: &str, name: &str| {
            let words = format!(
                "{kind} {name:?} is not known to 1 of the 2 workers of queue default: lacks"
            );
            said.stdout.contains(&words)
        };
        Ok(said.code == 1 && part("command", "words") && part("database", "main"))
    })
    .await?;
    let file = stage.dir().join("words.toml");
    std::fs::write(&file, exec)?;
    let file = file.to_string_lossy();
    let applied = stage
        .cli(&["job", "apply", &file], SOON)
        .await?
        .succeeded()?;
    assert!(
        applied
            .stderr
            .contains("exec.command: command \"words\" is not known to 1 of the 2"),
        "{applied:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_worker_lacks_another_does_and_no_attempt_is_used_up() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let store = |name: &str| format!("{name}=sqlite:{}?mode=rwc", stage.dir().join("a.db").display());
        let (has, other) = (store("main"), store("other"));
        let has = ["--name", "has", "--database", &has, "--exec", "words=/bin/true"];
        let lacks = ["--name", "lacks", "--database", &other, "--exec", "dict=/bin/true"];
        stage.start_worker(2, &lacks).await?;
        let exec = "name = \"words\"\nhandler = \"exec\"\nexec = { command = \"words\" }\n\
                    grid = { slices = 8 }\nretry = { max_attempts = 1 }";
        let sql = "name = \"ones\"\nhandler = \"sql\"\ngrid = { slices = 8 }\nretry = { max_attempts = 1 }\n\
                   [sql]\ndatabase = \"main\"\nstatement = \"SELECT :slice\"";
        for job in [exec, sql] {
            stage.apply(job).await?;
        }
        // First there is only the worker that lacks them: each shard fails there.
        for job in ["words", "ones"] {
            stage.cli(&["run", job, "--id", "one"], SOON).await?.succeeded()?;
        }
        let shown = async |job: &str, flags: &[&str]| {
            let run = RunId::from_request(&job.parse()?, "one");
            let args = [&["show", run.as_str()][..], flags].concat();
            stage.cli(&args, SOON).await?.succeeded()
        };
        for job in ["words", "ones"] {
            let shard = eventually_some(SOON, "a shard came to the one that lacks it", async || {
                let errors = shown(job, &["--json"]).await?.json()?["errors"].clone();
                let last = &errors[0]["last"];
                Ok(last["shard"].as_str().filter(|_| last["held"] == true).map(str::to_owned))
            })
            .await?;
            let story = shown(job, &["--shard", &shard]).await?.stdout;
            assert!(story.contains("failed, uses up no attempt"), "{story}");
            assert!(story.contains("1 of 1)") || !story.contains("waits for"), "{story}");
        }
        let log = stage.workers[0].stderr();
        let lines = |name: &str| {
            let lines = log.lines().filter(|line| line.contains("this is not in the configuration"));
            lines.filter(|line| line.contains(name)).count()
        };
        let told = ["kind=command name=words", "kind=database name=main"];
        assert_eq!(told.map(lines), [1, 1], "{log}");

        stage.start_worker(2, &has).await?;
        let stage = &*stage;
        for job in ["words", "ones"] {
            let run = RunId::from_request(&job.parse()?, "one");
            eventually(SOON * 2, "the other does them", async || {
                let shown = stage.cli(&["show", run.as_str(), "--json"], SOON).await?;
                let shown = shown.succeeded()?.json()?;
                assert_eq!(shown["shards"]["dead"], 0, "{shown}");
                Ok(shown["state"] == "succeeded")
            })
            .await?;
        }
        told_of_some(stage, exec).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_says_that_succeeds_stands_in_the_log_of_whoever_asks_for_it()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let script = stage.dir().join("says.sh");
        std::fs::write(
            &script,
            "echo \"page $GRIDLOOM_PAGE\"\necho '{\"rows\": 3}'\nprintf 'a\\033[31mb' >&2\n",
        )?;
        let command = format!("says=/bin/sh {}", script.display());
        let asked = ["--queue", "asked", "--log", "info,exec=debug", "--exec", &command];
        stage.start_worker(1, &asked).await?;
        stage.start_worker(1, &["--exec", &command]).await?;
        for queue in ["asked", "default"] {
            let job = format!(
                "name = \"says-{queue}\"\nhandler = \"exec\"\nqueue = \"{queue}\"\nexec = {{ command = \"says\" }}\n\
                 grid = {{ pages = {{ count = 2 }} }}"
            );
            let job = stage.apply(&job).await?;
            let run = ["run", job.as_str(), "--wait"];
            stage.cli(&run, SOON).await?.succeeded()?;
        }
        let line = |log: &str, page: &str| {
            let says = |line: &&str| line.contains("command succeeded") && line.contains(page);
            log.lines().find(says).map(str::to_owned)
        };
        eventually(SOON, "both pages stand in the log", async || {
            let log = stage.workers[0].stderr();
            Ok(line(&log, "page=0").is_some() && line(&log, "page=1").is_some())
        })
        .await?;
        let said = line(&stage.workers[0].stderr(), "page=1").unwrap_or_default();
        assert!(said.contains("stdout=\"page 1\"") && said.contains("stderr=a\\x1b[31mb"), "{said}");
        assert!(said.contains("command=says") && !said.contains("rows"), "{said}");
        let quiet = stage.workers[1].stderr();
        assert!(!quiet.contains("page 1"), "{quiet}");
        Ok(())
    })
    .await
}
