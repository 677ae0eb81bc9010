//! What may be typed to bring jobs over from elsewhere.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// How it goes on.
pub(super) const NEXT: &str = "\
  gridloom import elasticjob application.yml --timezone Asia/Shanghai
  gridloom job apply --dry-run gridloom-import/jobs/*.toml   what they are, and when they fire
  gridloom job apply gridloom-import/jobs/*.toml

Exit code 1: something needs an answer; the report says what. docs/COMING-FROM-ELASTICJOB.md has each field.";

/// From where.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Job files from ElasticJob's configuration: 3.x as YAML, Spring Boot's as YAML or properties, 2.x as JSON
    #[command(after_help = NEXT)]
    Elasticjob(ImportArgs),
}

/// Flags of `import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// Configuration files, "-" for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The time zone of the machines that ran the jobs, for those that name none: their cron meant its clocks
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Where the job files go
    #[arg(long, value_name = "DIR", default_value = "gridloom-import")]
    pub out: PathBuf,
    /// Write over files that are there
    #[arg(long)]
    pub force: bool,
}
