//! Starts a real database server for the tests: whole cluster in a temporary directory, under
//! guard, on a free port of 127.0.0.1.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

/// `nobody`: the servers refuse to run as root.
const NOBODY: u32 = 65_534;

/// A running server. Dropping it closes its lifeline, and its guard kills it.
#[derive(Debug)]
pub struct Server {
    /// Its own database.
    pub url: String,
    /// On 127.0.0.1.
    pub port: u16,
    guard: Child,
    _dir: tempfile::TempDir,
}

impl Server {
    /// The process that all of its processes descend from.
    pub fn pid(&self) -> u32 {
        self.guard.id()
    }
}

/// Whether what was committed is on the disk before it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commits {
    /// Tests do without: no power fails.
    InMemory,
    /// As servers are installed.
    OnDisk,
}

/// PostgreSQL, where its binaries can be had. It may not answer yet.
///
/// # Errors
/// When they cannot, or it cannot be started.
pub fn postgres() -> anyhow::Result<Server> {
    postgres_with(Commits::InMemory)
}

/// The same, with a say in what its commits are.
///
/// # Errors
/// As there.
pub fn postgres_with(commits: Commits) -> anyhow::Result<Server> {
    let bin = postgres_binaries()?;
    let (dir, data) = directory()?;
    let init = as_nobody(&bin.join("initdb"))
        .args([
            "-A",
            "trust",
            "-U",
            "gridloom",
            "-E",
            "UTF8",
            "--no-sync",
            "-D",
        ])
        .arg(&data)
        .output()?;
    let said = String::from_utf8_lossy(&init.stderr);
    ensure!(init.status.success(), "failed to run initdb: {said}");
    let port = free_port()?;
    let mut server = as_nobody(&bin.join("postgres"));
    server
        .args(match commits {
            Commits::InMemory => &["-F"][..],
            Commits::OnDisk => &[],
        })
        .args(["-h", "127.0.0.1", "-c", "max_connections=200", "-p"])
        .arg(port.to_string())
        .arg("-k")
        .arg(dir.path())
        .arg("-D")
        .arg(&data);
    Ok(Server {
        url: format!("postgres://gridloom@127.0.0.1:{port}/postgres?sslmode=disable"),
        port,
        guard: guarded(&server)?,
        _dir: dir,
    })
}

/// MySQL or MariaDB, where one is installed. It may not answer yet.
///
/// # Errors
/// When none is, or it cannot be started.
pub fn mysql() -> anyhow::Result<Server> {
    let mysqld = find("mysqld", &["/usr/sbin"]).or_else(|| find("mariadbd", &["/usr/sbin"]));
    let mysqld = mysqld.context("find mysqld: none is installed")?;
    let (dir, data) = directory()?;
    let init = match find("mariadb-install-db", &[]) {
        Some(install) => as_nobody(&install)
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .arg(format!("--datadir={}", data.display()))
            .output()?,
        None => as_nobody(&mysqld)
            .args(["--no-defaults", "--initialize-insecure"])
            .arg(format!("--datadir={}", data.display()))
            .output()?,
    };
    // `mariadb-install-db` says on its standard output what is wrong.
    let said = [init.stderr, init.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(init.status.success(), "failed to prepare mysqld: {said}");
    let port = free_port()?;
    let mut server = as_nobody(&mysqld);
    server
        .args(["--no-defaults", "--bind-address=127.0.0.1"])
        .arg(format!("--port={port}"))
        .arg(format!("--datadir={}", data.display()))
        .arg(format!(
            "--socket={}",
            dir.path().join("mysql.sock").display()
        ))
        .arg(format!(
            "--pid-file={}",
            dir.path().join("mysql.pid").display()
        ));
    Ok(Server {
        url: format!("mysql://root@127.0.0.1:{port}/?ssl-mode=disabled"),
        port,
        guard: guarded(&server)?,
        _dir: dir,
    })
}

/// PgBouncer in transaction mode before `server`, with so many sessions for each database and `more` lines of
/// configuration. It may not answer yet.
///
/// # Errors
/// When it is not installed, or cannot be started.
pub fn pgbouncer(server: &Server, sessions: u32, more: &str) -> anyhow::Result<Server> {
    let program = find("pgbouncer", &["/usr/sbin"]);
    let program = program.context("find pgbouncer: it is not installed")?;
    let (dir, data) = directory()?;
    let port = free_port()?;
    let config = data.join("pgbouncer.ini");
    // What it refuses by default stays refused: users change nothing of its configuration for us.
    fs::write(
        &config,
        format!(
            "[databases]\n* = host=127.0.0.1 port={} user=gridloom\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {sessions}\nmax_client_conn = 500\n{more}\n",
            server.port
        ),
    )?;
    let mut pooler = as_nobody(&program);
    pooler.arg(&config);
    Ok(Server {
        url: server
            .url
            .replace(&format!(":{}/", server.port), &format!(":{port}/")),
        port,
        guard: guarded(&pooler)?,
        _dir: dir,
    })
}

/// A directory that the server may use, and the place of its data in it.
fn directory() -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    fs::create_dir(&data)?;
    if rustix::process::geteuid().is_root() {
        chown(dir.path(), Some(NOBODY), Some(NOBODY))?;
        chown(&data, Some(NOBODY), Some(NOBODY))?;
    }
    Ok((dir, data))
}

/// The program, without root's rights where we have them.
fn as_nobody(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={NOBODY}"))
        .arg(format!("--regid={NOBODY}"))
        .args(["--clear-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}

/// Starts the server under our own guard, so that it dies with the test.
fn guarded(server: &Command) -> anyhow::Result<Child> {
    let mut guard = Command::new(crate::gridloom()?)
        .args(["guard", "--"])
        .arg(server.get_program())
        .args(server.get_args())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start the guard")?;
    let lifeline = guard.stdin.as_mut().context("hold the lifeline")?;
    std::io::Write::write_all(lifeline, b"0\n")?;
    Ok(guard)
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn find(program: &str, more: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(more.iter().map(PathBuf::from));
    dirs.map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// The directory of `initdb` and `postgres`: Debian's, one on PATH, or the Python package's.
fn postgres_binaries() -> anyhow::Result<PathBuf> {
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect();
    installed.sort();
    if let Some(newest) = installed.pop() {
        return Ok(newest);
    }
    if let Some(bin) = find("initdb", &[]).and_then(|path| path.canonicalize().ok())
        && let Some(bin) = bin.parent().filter(|bin| bin.join("postgres").is_file())
    {
        return Ok(bin.to_owned());
    }
    from_python_package()
}

/// `pgserver`, installed once with pip.
fn from_python_package() -> anyhow::Result<PathBuf> {
    let cache = match std::env::var_os("HOME") {
        // Root's own directory is closed to the user that the server runs as.
        Some(home) if !rustix::process::geteuid().is_root() => PathBuf::from(home).join(".cache"),
        _ => PathBuf::from("/var/cache"),
    };
    let target = cache.join("gridloom/pgserver");
    let bin = target.join("pgserver/pginstall/bin");
    if bin.join("postgres").is_file() {
        return Ok(bin);
    }
    fs::create_dir_all(&cache)?;
    // Beside its place first, so that two tests at once and a broken download do no harm.
    let fresh = tempfile::tempdir_in(&cache)?;
    let pip = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--target"])
        .arg(fresh.path())
        .arg("pgserver")
        .output()
        .context("run pip")?;
    let said = String::from_utf8_lossy(&pip.stderr);
    ensure!(
        pip.status.success(),
        "failed to fetch pgserver with pip: {said}"
    );
    fs::create_dir_all(target.parent().unwrap_or(&cache))?;
    let fresh = fresh.keep();
    open_to_all(&fresh)?;
    if fs::rename(&fresh, &target).is_err() {
        fs::remove_dir_all(&fresh)?;
    }
    ensure!(
        bin.join("postgres").is_file(),
        "failed to find postgres in {}",
        bin.display()
    );
    Ok(bin)
}

fn open_to_all(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?)
}
