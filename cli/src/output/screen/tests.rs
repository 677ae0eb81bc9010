use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use super::*;

/// What the other test runs on a terminal of its own.
const PANICS: &str = "output::screen::tests::takes_its_terminal_and_panics";

#[test]
#[ignore = "run by the other one, on a terminal of its own"]
fn takes_its_terminal_and_panics() {
    if !Screen::is_there() {
        return;
    }
    let mut screen = Screen::take().unwrap();
    let paint = |_: &mut Buffer, _| panic!("a fault while it paints");
    let _ = screen.show(paint);
}

#[test]
fn terminal_is_given_back_before_a_panic_is_told() {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let ours = open(
        &name,
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .unwrap();
    let end = || Stdio::from(ours.try_clone().unwrap());
    let mut order = Command::new(std::env::current_exe().unwrap());
    order.args(["--exact", PANICS, "--ignored", "--nocapture"]);
    order.env("TERM", "xterm");
    order.stdin(end()).stdout(end()).stderr(end());
    let mut child = order.spawn().unwrap();
    // It has the other end of the terminal, too, which would never be over.
    drop(order);
    let said = std::thread::spawn(move || {
        let (mut said, mut part) = (Vec::new(), [0; 4_096]);
        let mut terminal = File::from(master);
        // Nobody has the other end any more: that is an error, and its end.
        while let Ok(read @ 1..) = terminal.read(&mut part) {
            said.extend_from_slice(&part[..read]);
        }
        String::from_utf8_lossy(&said).into_owned()
    });
    let ended = child.wait().unwrap();
    let modes = tcgetattr(ours.as_fd()).unwrap().local_modes;
    drop((child, ours));
    let said = said.join().unwrap();
    assert!(!ended.success(), "{said}");
    assert!(
        modes.contains(LocalModes::ICANON | LocalModes::ECHO),
        "{said}"
    );
    let at = |text: &str| {
        said.find(text)
            .unwrap_or_else(|| panic!("no {text:?} in {said:?}"))
    };
    let (taken, given_back) = (at("\x1b[?1049h"), at("\x1b[?1049l"));
    assert!(
        taken < given_back && given_back < at("a fault while it paints"),
        "{said:?}"
    );
    assert!(at("\x1b[?25h") < at("a fault while it paints"), "{said:?}");
}
