//! What may be typed to bring jobs over from elsewhere.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// How it goes on.
const NEXT_XXL_JOB: &str = "\
  gridloom import xxl-job jobs.csv --timezone Asia/Shanghai --slices 4
  gridloom job apply --dry-run gridloom-import/jobs/*.toml   what they are, and when they fire
  gridloom job apply gridloom-import/jobs/*.toml

Exit code 1: something needs an answer; the report says what. docs/COMING-FROM-XXL-JOB.md has each column.";
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
    /// Job files from an export of XXL-JOB's table xxl_job_info, as JSON or as CSV with the names of its columns
    #[command(after_help = NEXT_XXL_JOB)]
    XxlJob(XxlJobArgs),
}

/// Flags of `import xxl-job`.
#[derive(Args, Debug)]
pub struct XxlJobArgs {
    /// Those of each import
    #[command(flatten)]
    pub import: ImportArgs,
    /// How many slices jobs get that were broadcast (SHARDING_BROADCAST): as many as there were executors, say
    #[arg(long, value_name = "N")]
    #[arg(value_parser = super::number::whole::<u32>(1, 65_536))]
    pub slices: Option<u32>,
}

/// Flags of `import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// Files, "-" for standard input
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
    /// Jobs that fire as these would and do nothing (handler noop): beside the other scheduler, to compare what fired
    #[arg(long)]
    pub shadow: bool,
}
