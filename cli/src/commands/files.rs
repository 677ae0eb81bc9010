//! Files that define something: which text one has and how it is written, and how the faults of several are told.

use std::io::Read as _;
use std::path::Path;

use gridloom_shared::chain;
use gridloom_shared::job::parse::Format;

use crate::context::Context;
use crate::fault::Faulty;
use crate::output::counted;

/// The text of a file, `-` for standard input, and its form: by its ending, or else by how it begins.
pub(super) fn read(path: &Path) -> Result<(String, Format), String> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin()
            .lock()
            .read_to_string(&mut text)
            .map(|_| text),
        false => std::fs::read_to_string(path),
    };
    let text = read.map_err(|error| format!("cannot be read: {}", chain(&error)))?;
    let form = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Format::Json,
        Some("toml") => Format::Toml,
        Some(yaml @ ("yaml" | "yml")) => {
            return Err(format!("must be TOML or JSON: a .{yaml} file is neither"));
        }
        _ if text.trim_start().starts_with('{') => Format::Json,
        _ => Format::Toml,
    };
    Ok((text, form))
}

/// The error that so many of all files have these faults, each of which is told.
pub(super) fn refused(
    context: &Context,
    faults: Vec<String>,
    (faulty, all): (usize, usize),
) -> anyhow::Error {
    for fault in &faults {
        context.output.note(fault);
    }
    let mut of = counted(all as u64, "file");
    if faulty < all {
        of = format!("{faulty} of {of}");
    }
    let mistakes = counted(faults.len() as u64, "mistake");
    let message = format!("{mistakes} in {of}; nothing was applied");
    Faulty { message, faults }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_of_a_file_is_by_its_ending_or_else_by_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text, form) in [
            ("a.json", "name", Format::Json),
            ("a.toml", "{", Format::Toml),
            ("a", "  {", Format::Json),
            ("b.txt", "name", Format::Toml),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path), Ok((text.to_owned(), form)), "{name}");
        }
        assert!(read(&dir.path().join("none")).is_err());
        let yaml = dir.path().join("a.yaml");
        std::fs::write(&yaml, "name: a").unwrap();
        assert!(read(&yaml).is_err_and(|fault| fault.contains("TOML or JSON")));
    }
}
