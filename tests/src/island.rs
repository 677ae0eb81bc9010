//! A network namespace whose only way to the broker is a link that a test can take down: a real
//! partition, without an answer and without an end of any connection.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::process::{Gridloom, Process};
use crate::wait::eventually;

/// The namespace. It and the link are gone when it is dropped.
#[derive(Debug)]
pub struct Island {
    holder: Process,
    link: String,
    shore: Ipv4Addr,
    port: u16,
    ferry: JoinHandle<()>,
}

impl Island {
    /// Makes one from which the broker at `port` of 127.0.0.1 can be reached; `None` where this machine
    /// does not allow it.
    ///
    /// # Errors
    /// When it neither comes nor is refused.
    pub async fn make(port: u16) -> anyhow::Result<Option<Island>> {
        let holder = Gridloom::program(
            "unshare",
            ["--net", "sh", "-c", "echo there && exec sleep infinity"],
        );
        let mut holder = holder.start().await?;
        eventually(
            Duration::from_secs(10),
            "the namespace is there",
            async || Ok(holder.stdout().contains("there") || !holder.is_running()?),
        )
        .await?;
        let pid = holder.pid().as_raw_nonzero().get();
        // Of 10.251.0.0/16, four addresses for each process id.
        let [_, _, high, low] = (u32::try_from(pid)? << 2 & 0xffff).to_be_bytes();
        let (shore, inside) = (
            Ipv4Addr::new(10, 251, high, low + 1),
            Ipv4Addr::new(10, 251, high, low + 2),
        );
        let link = format!("gl{pid}");
        let orders = [
            format!("ip link add {link} type veth peer name inside netns {pid}"),
            format!("ip addr add {shore}/30 dev {link}"),
            format!("ip link set {link} up"),
            format!("nsenter --target {pid} --net ip addr add {inside}/30 dev inside"),
            format!("nsenter --target {pid} --net ip link set inside up"),
            format!("nsenter --target {pid} --net ip link set lo up"),
        ];
        for order in orders {
            if !obeyed(&order).await {
                return Ok(None);
            }
        }
        let listener = TcpListener::bind((shore, port)).await?;
        let ferry = tokio::spawn(ferry(listener, port));
        Ok(Some(Island {
            holder,
            link,
            shore,
            port,
            ferry,
        }))
    }

    /// A `gridloom` command that runs there, against the broker.
    ///
    /// # Errors
    /// When the command under test is not there.
    pub fn gridloom(&self, args: &[&str]) -> anyhow::Result<Gridloom> {
        let pid = self.holder.pid().to_string();
        let command = crate::gridloom()?;
        Ok(Gridloom::program("nsenter", ["--target", &pid, "--net"])
            .args([command])
            .args(args.iter().copied())
            .env(
                "GRIDLOOM_NATS",
                format!("nats://{}:{}", self.shore, self.port),
            ))
    }

    /// Takes the link down: nothing passes, and nobody is told.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn cut_off(&self) -> anyhow::Result<()> {
        self.set("down").await
    }

    /// Brings the link up again.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn join(&self) -> anyhow::Result<()> {
        self.set("up").await
    }

    async fn set(&self, state: &str) -> anyhow::Result<()> {
        let order = format!("ip link set {} {state}", self.link);
        anyhow::ensure!(obeyed(&order).await, "{order}");
        Ok(())
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        self.ferry.abort();
    }
}

async fn obeyed(order: &str) -> bool {
    let mut words = order.split(' ');
    let program = words.next().unwrap_or_default();
    let status = Command::new(program)
        .args(words)
        .stderr(Stdio::null())
        .status();
    status.await.is_ok_and(|status| status.success())
}

/// Passes connections on to the broker, which listens on 127.0.0.1 alone.
async fn ferry(listener: TcpListener, port: u16) {
    loop {
        let Ok((mut near, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(async move {
            let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
            let mut far = far.context("reach the broker")?;
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            tokio::io::copy_bidirectional(&mut near, &mut far).await?;
            anyhow::Ok(())
        });
    }
}
