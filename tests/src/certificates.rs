//! Certificates of a test's own: authorities, and what they sign, as files that nats-server and clients read.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// An authority that nobody knows but who reads its file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
    /// Its certificate.
    pub file: PathBuf,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The certificate's file.
    pub cert: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one, and writes its certificate into `dir`.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn new(dir: &Path, name: &str) -> anyhow::Result<Authority> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let file = dir.join(format!("{name}.pem"));
        std::fs::write(&file, pem("CERTIFICATE", issuer.der()))?;
        Ok(Authority {
            issuer,
            dir: dir.to_owned(),
            file,
        })
    }

    /// A certificate for these hosts (or addresses), good for servers and clients alike, with its key: `NAME.pem` and
    /// `NAME.key`.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn sign(&self, name: &str, hosts: &[&str]) -> anyhow::Result<Certified> {
        self.sign_until(name, hosts, None)
    }

    /// As [`Authority::sign`], of one that is over at the beginning of that day, as year, month and day.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn sign_until(
        &self,
        name: &str,
        hosts: &[&str],
        end: Option<(i32, u8, u8)>,
    ) -> anyhow::Result<Certified> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if let Some((year, month, day)) = end {
            params.not_after = date_time_ymd(year, month, day);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let files = Certified {
            cert: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        };
        std::fs::write(&files.cert, pem("CERTIFICATE", certificate.der()))?;
        std::fs::write(&files.key, pem("PRIVATE KEY", &key.serialize_der()))?;
        Ok(files)
    }
}

impl Certified {
    /// The `tls` block of a nats-server that shows it; `more` are further lines of the block.
    pub fn block(&self, more: &str) -> String {
        let (cert, key) = (self.cert.display(), self.key.display());
        format!("tls {{\ncert_file: \"{cert}\"\nkey_file: \"{key}\"\n{more}\n}}\n")
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {what}-----\n");
    let body = BASE64.encode(der);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text += line;
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {what}-----\n")
}
