//! Decides what an embedded nats-server is told: its configuration file and its port.

use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use uuid::Uuid;

/// The configuration, in the store's directory, which is nats-server's working directory: so no
/// path stands in it and none needs quoting.
pub(super) const FILE: &str = "nats.conf";
/// Where the guard writes nats-server's process id.
pub(super) const PID: &str = "nats.pid";
/// nats-server's log.
pub(super) const LOG: &str = "nats.log";
/// What nats-server writes before its log is open.
pub(super) const OUTPUT: &str = "nats.out";

/// Below the ports that systems give to outgoing connections (from 32,768 on Linux, 49,152 on
/// macOS): a client that keeps trying a stopped server's port there can connect to itself, and the
/// server never gets its port back.
const PORTS: std::ops::Range<u16> = 14_000..32_000;

/// Lines that the caller adds.
pub(super) struct Extra<'a> {
    pub(super) jetstream: &'a str,
    pub(super) server: &'a str,
}

pub(super) fn make_up_name() -> String {
    format!("gridloom-{}", Uuid::new_v4().simple())
}

/// A port on 127.0.0.1 that nobody listens on at the moment. Another process may take it before it
/// is used: be ready to choose again.
///
/// # Errors
/// When none was found.
pub fn free_port() -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        let bytes = Uuid::new_v4().into_bytes();
        let drawn = u16::from_le_bytes([bytes[0], bytes[1]]);
        let port = PORTS.start + drawn % (PORTS.end - PORTS.start);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(super) fn write(dir: &Path, name: &str, port: u16, extra: &Extra<'_>) -> io::Result<()> {
    std::fs::write(dir.join(FILE), text(name, port, extra))
}

fn text(name: &str, port: u16, extra: &Extra<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "server_name: \"{name}\"\n\
         listen: \"127.0.0.1:{port}\"\n\
         log_file: \"{LOG}\"\n\
         logfile_size_limit: 16MB\n\
         logfile_max_num: 3\n\
         jetstream {{\n\
         store_dir: \".\"\n\
         max_file_store: 256GB\n\
         max_memory_store: 4GB\n\
         {}\n\
         }}\n\
         {}\n",
        extra.jetstream, extra.server
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_lines_stand_in_their_blocks() {
        let extra = Extra {
            jetstream: "sync_interval: always",
            server: "http: \"127.0.0.1:8222\"",
        };
        let text = text("a", 4222, &extra);
        let block = text.find("jetstream {").unwrap();
        let inner = text.find("sync_interval").unwrap();
        let end = text.find('}').unwrap();
        let outer = text.find("http:").unwrap();
        assert!(block < inner && inner < end && end < outer);
    }

    #[test]
    fn free_ports_lie_below_those_of_outgoing_connections() {
        for _ in 0..20 {
            assert!(PORTS.contains(&free_port().unwrap()));
        }
    }
}
