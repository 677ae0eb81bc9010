//! A reader of events, as a browser is one: it keeps what it was told, and says where it was when it comes back.

use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::reads::grid::{self, Window};
use gridloom_shared::reads::ledger;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;

/// An open stream.
pub(crate) struct Stream {
    from: BufReader<TcpStream>,
    pub(crate) head: String,
}

/// One event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) lines: Vec<Value>,
}

impl Event {
    /// What it says of a topic.
    pub(crate) fn of(&self, topic: &str) -> Option<&Value> {
        self.lines.iter().find(|line| line["topic"] == topic)
    }
}

impl Stream {
    /// Begins to read `topics`, from the place of an `id` on.
    pub(crate) async fn open(
        api: &Api,
        topics: &str,
        since: Option<&str>,
    ) -> anyhow::Result<Stream> {
        let path = format!("/api/v1/events?topics={topics}");
        Stream::begin(api, &path, since).await
    }

    /// As [`Stream::open`], whatever stands before the path.
    pub(crate) async fn begin(
        api: &Api,
        path: &str,
        since: Option<&str>,
    ) -> anyhow::Result<Stream> {
        let since = since.map(|since| ("last-event-id", since));
        Stream::with(api, path, since.as_slice()).await
    }

    /// The same, with these headers.
    pub(crate) async fn with(
        api: &Api,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Stream> {
        let mut stream = TcpStream::connect(&api.address).await?;
        // Without parts that have lengths of their own: the answer ends where the connection does.
        let mut request =
            format!("GET {path} HTTP/1.0\r\nhost: 127.0.0.1\r\naccept-encoding: gzip\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        stream
            .write_all(format!("{request}\r\n").as_bytes())
            .await?;
        let (mut from, mut head) = (BufReader::new(stream), String::new());
        while !head.ends_with("\r\n\r\n") {
            ensure!(from.read_line(&mut head).await? > 0, "no head: {head:?}");
        }
        ensure!(head.contains(" 200 "), "{head}");
        Ok(Stream { from, head })
    }

    /// The next event; `None` where the stream ends.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        let (mut event, mut line) = (Event::default(), String::new());
        loop {
            line.clear();
            if self.from.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            match line.trim_end().split_once(": ") {
                Some(("event", kind)) => event.kind = kind.to_owned(),
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("data", data)) => event.lines.push(serde_json::from_str(data)?),
                Some(_) => {}
                None if !event.lines.is_empty() => return Ok(Some(event)),
                None => {}
            }
        }
    }

    /// Takes all that comes and looks at none of it.
    pub(crate) async fn pass_over(&mut self) {
        while let Ok(bytes) = self.from.fill_buf().await.map(<[u8]>::len)
            && bytes > 0
        {
            self.from.consume(bytes);
        }
    }

    /// The next event that says something of a topic.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        is_meant: impl Fn(&Event) -> bool,
    ) -> anyhow::Result<Event> {
        let found = async {
            loop {
                let event = self.next().await?.context("the stream ended")?;
                if is_meant(&event) {
                    return anyhow::Ok(event);
                }
            }
        };
        let found = tokio::time::timeout(SOON, found).await;
        found.with_context(|| format!("no event: {what}"))?
    }
}

/// What a reader sees of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) id: Option<String>,
    pub(crate) resets: usize,
    /// Up to where it was told.
    pub(crate) at: u64,
    pub(crate) run: Value,
    cells: Vec<Vec<u32>>,
}

impl View {
    /// Takes in what an event says of a run.
    pub(crate) fn take(&mut self, run: &RunId, event: &Event) -> anyhow::Result<()> {
        let sequence = |id: &str| {
            id.split('.')
                .next()
                .and_then(|word| word.parse::<u64>().ok())
        };
        let before = self.id.as_deref().and_then(sequence);
        ensure!(
            sequence(&event.id) >= before,
            "{} behind {before:?}",
            event.id
        );
        self.id = Some(event.id.clone());
        self.resets += usize::from(event.kind == "reset");
        let Some(line) = event.of(&format!("run:{run}")) else {
            return Ok(());
        };
        if line["unchanged"] == true {
            return Ok(());
        }
        self.at = line["at"].as_u64().with_context(|| format!("{line}"))?;
        self.run = line["run"].clone();
        let rows = |cells: &Value| cells["rows"].as_array().cloned().context("rows");
        if line["grid"].is_object() {
            ensure!(line["grid"]["pages_a_block"] == 1, "{line}");
            self.cells.clear();
            for row in rows(&line["grid"])? {
                let cells = spread(&row["runs"]);
                let slices = row["slices"].as_u64().unwrap_or(0) as usize;
                self.cells.extend(std::iter::repeat_n(cells, slices));
            }
            return Ok(());
        }
        for row in rows(&line["cells"])? {
            let number = |key: &str| row[key].as_u64().unwrap_or(0) as usize;
            let cells = spread(&row["runs"]);
            for slice in number("first")..number("first") + number("slices") {
                let told = self.cells.get_mut(slice).context("no such slice")?;
                told.resize(number("pages"), 0);
                let page = number("page");
                told[page..page + cells.len()].copy_from_slice(&cells);
            }
        }
        Ok(())
    }

    /// Whether it is what the ledger adds up to, up to where it was told.
    pub(crate) async fn judge(&self, broker: &Broker, run: &RunId) -> anyhow::Result<()> {
        let fold = ledger::fold(broker, run.clone(), self.at).await?;
        let all = Window {
            slices: 0..u32::MAX,
            pages: 0..u32::MAX,
        };
        let rows = grid::of(&fold, &all).rows.into_iter();
        let cells: Vec<Vec<u32>> = rows
            .flat_map(|row| {
                let cells = spread(&json!(row.runs));
                std::iter::repeat_n(cells, row.slices as usize)
            })
            .collect();
        let differs = cells.iter().zip(&self.cells).position(|(a, b)| a != b);
        ensure!(
            cells.len() == self.cells.len() && differs.is_none(),
            "slice {differs:?} is told otherwise at {}: {:?}",
            self.at,
            differs.map(|slice| (&cells[slice], &self.cells[slice]))
        );
        ensure!(
            self.run["shards"]["done"] == fold.counts().done,
            "{}",
            self.run
        );
        Ok(())
    }
}

/// Runs of cells, cell by cell.
fn spread(runs: &Value) -> Vec<u32> {
    let numbers = runs.as_array().into_iter().flatten();
    let numbers: Vec<u32> = numbers
        .filter_map(|number| Some(number.as_u64()? as u32))
        .collect();
    let runs = numbers.chunks(2);
    runs.flat_map(|run| std::iter::repeat_n(run[0], run[1] as usize))
        .collect()
}
