use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use axum::http::{HeaderValue, StatusCode, header};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::files::ALL;
use super::serve::{Sent, file, packed};
use super::*;

/// What of others is here, may have packed.
const VENDORED_MAX: usize = 40_000;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/console"))
}

fn below(folder: &Path, before: &str, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        match path.is_dir() {
            true => below(&path, &format!("{before}{name}/"), into),
            false => _ = into.insert(format!("{before}{name}")),
        }
    }
}

#[test]
fn every_file_of_the_folder_is_served() {
    let mut there = BTreeSet::new();
    below(folder(), "", &mut there);
    let mut served: BTreeSet<String> = ALL.iter().map(|file| file.name.to_owned()).collect();
    served.extend(["index.html", "vendor/VENDORED.toml"].map(str::to_owned));
    assert_eq!(there, served);
}

/// As a reader of the repository finds them: `[[file]]` with what it is, and its digest.
#[test]
fn what_is_of_others_is_what_it_says_it_is_and_small() {
    let text = std::fs::read_to_string(folder().join("vendor/VENDORED.toml")).unwrap();
    let told: toml::Table = text.parse().unwrap();
    let mut named = BTreeSet::from(["LICENCES.txt".to_owned(), "VENDORED.toml".to_owned()]);
    let mut size = 0;
    for entry in told["file"].as_array().unwrap() {
        let of = |key: &str| entry[key].as_str().unwrap();
        let bytes = std::fs::read(folder().join("vendor").join(of("name"))).unwrap();
        assert_eq!(
            HEXLOWER.encode(&Sha256::digest(&bytes)),
            of("sha256"),
            "{}",
            of("name")
        );
        for key in ["package", "version", "from", "licence"] {
            assert!(!of(key).is_empty(), "{key} of {}", of("name"));
        }
        size += packed(&bytes).unwrap().len();
        named.insert(of("name").to_owned());
    }
    let mut there = BTreeSet::new();
    below(&folder().join("vendor"), "", &mut there);
    assert_eq!(there, named);
    assert!(size < VENDORED_MAX, "{size} bytes packed");
}

/// The policy would keep the browser from it; nobody is to find that out by a page that does not work.
#[test]
fn page_has_no_script_and_no_style_of_its_own_and_names_no_other_host() {
    for file in ALL.iter().filter(|file| !file.name.starts_with("vendor/")) {
        let text = std::str::from_utf8(file.bytes).unwrap();
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for other in ["http://", "https://", "eval(", "innerHTML", "new Function"] {
            assert!(!text.contains(other), "{}: {other}", file.name);
        }
        assert!(text.lines().count() <= 500, "{} is too long", file.name);
    }
    assert!(!super::files::PAGE.contains("<style") && !super::files::PAGE.contains(" style="));
    assert!(
        !super::files::PAGE
            .replace("></script>", "")
            .contains("</script>")
    );
}

#[test]
fn page_names_its_files_under_the_base_path_and_they_are_there() {
    let page = Sent::page("/gridloom");
    let response = page.answer(&HeaderMap::new());
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str();
    assert!(
        policy
            .unwrap()
            .starts_with("default-src 'none'; script-src 'self'")
    );
    let text = page.text();
    let named: Vec<&str> = text
        .split('"')
        .filter_map(|part| part.strip_prefix("/gridloom/console/"))
        .collect();
    assert!(named.len() > 5 && !text.contains('{'), "{text}");
    for name in named {
        assert!(file(name).is_some(), "{name}");
    }
}

#[test]
fn file_that_the_browser_has_is_not_sent_again_and_packed_for_whoever_understands_it() {
    let sent = file("app.js").unwrap();
    let mut asked = HeaderMap::new();
    let plain = sent.answer(&asked);
    assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
    asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(
        sent.answer(&asked).headers()[header::CONTENT_ENCODING],
        "gzip"
    );
    let etag = plain.headers()[header::ETAG].clone();
    asked.insert(header::IF_NONE_MATCH, etag);
    assert_eq!(sent.answer(&asked).status(), StatusCode::NOT_MODIFIED);
    asked.insert(header::IF_NONE_MATCH, HeaderValue::from_static("W/\"1\""));
    assert_eq!(sent.answer(&asked).status(), StatusCode::OK);
    assert!(file("../Cargo.toml").is_none() && file("").is_none());
}

/// The whole answer to `GET path`, from its first line on.
async fn told_at(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let asked = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    told
}

async fn serves_pages(address: SocketAddr, base: &str) {
    let page = Sent::page(base);
    for path in ["/", "/runs", "/runs/", "/runs/a_1/", "/doctor/"] {
        let path = format!("{base}{path}");
        let told = told_at(address, &path).await;
        let is_page = told.starts_with("HTTP/1.1 200 ") && told.ends_with(page.text());
        assert!(is_page, "{path}: {told}");
    }
    for path in ["/run/", "/console/", "/api/"] {
        let told = told_at(address, &format!("{base}{path}")).await;
        assert!(told.starts_with("HTTP/1.1 404 "), "{path}: {told}");
    }
}

async fn leads_below(address: SocketAddr, base: &str) {
    for path in ["/", base] {
        let told = told_at(address, path).await;
        let leads = told.contains(&format!("location: {base}/\r\n"));
        assert!(told.starts_with("HTTP/1.1 30") && leads, "{path}: {told}");
    }
}

#[tokio::test]
async fn slash_at_the_end_of_a_path_names_the_same_page() {
    for base in ["", "/grid/loom"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asking = async {
            serves_pages(address, base).await;
            if !base.is_empty() {
                leads_below(address, base).await;
            }
        };
        tokio::select! {
            ended = axum::serve(listener, routes(base)).into_future() => panic!("{ended:?}"),
            () = asking => {}
        }
    }
}
