//! The dashboards of `deploy/grafana` against Grafana's own schema. Grafana is no part of it: no registry has one.

use super::*;

/// What `judge` says of a dashboard, and whether it takes it.
fn judged(judge: &Path, file: &Path) -> anyhow::Result<(bool, String)> {
    let output = Command::new(judge).arg(file).output()?;
    Ok((output.status.success(), said(&output)))
}

#[test]
fn every_dashboard_is_one_by_the_schema_of_grafana() -> anyhow::Result<()> {
    let Some(judge) = tool("grafana-dashboards", "--version") else {
        return Ok(());
    };
    let folder = root().join("deploy").join("grafana").join("dashboards");
    let mut seen = 0;
    for file in std::fs::read_dir(folder)? {
        let file = file?.path();
        let (takes, said) = judged(&judge, &file)?;
        ensure!(takes, "{said}");
        seen += 1;
        // It would say so.
        let dir = tempfile::tempdir()?;
        let (text, wrong) = (
            std::fs::read_to_string(&file)?,
            dir.path().join("wrong.json"),
        );
        for (right, other, fault) in [
            ("\"refId\"", "\"refid\"", "unexpected field 'refid'"),
            ("\"expr\": ", "\"expr\": 1, \"legendFormat\": ", "number"),
            (
                "\"type\": \"timeseries\"",
                "\"type\": \"series\"",
                "\"series\"",
            ),
            ("\"h\": 1,", "\"h\": 0,", "must be > 0"),
            (
                "\"schemaVersion\": ",
                "\"other\": ",
                "unexpected field 'other'",
            ),
        ] {
            ensure!(text.contains(right), "{right}");
            std::fs::write(&wrong, text.replacen(right, other, 1))?;
            let (takes, said) = judged(&judge, &wrong)?;
            ensure!(!takes && said.contains(fault), "{fault}: {said}");
        }
    }
    ensure!(seen == 3, "{seen}");
    Ok(())
}
