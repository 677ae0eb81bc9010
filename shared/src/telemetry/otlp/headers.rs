//! What tells a collector who tells: `NAME=VALUE` with commas, as the standard has it. Values are secrets: no fault shows
//! one.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// Those of `text` that can be, and what is wrong with the others.
pub(super) fn read(text: &str) -> (HeaderMap, Option<String>) {
    let mut headers = HeaderMap::new();
    let mut wrong = Vec::new();
    let parts = text.split(',').map(str::trim);
    for (n, part) in (1_u32..).zip(parts).filter(|(_, part)| !part.is_empty()) {
        match header(part) {
            Some((name, value)) => {
                headers.insert(name, value);
            }
            None => wrong.push(n.to_string()),
        }
    }
    let fault = (!wrong.is_empty()).then(|| {
        format!(
            "part {} must be NAME=VALUE, parts with commas between them, and commas and all but ASCII in a VALUE as %2C (it is not shown here: it may be a secret)",
            wrong.join(", ")
        )
    });
    (headers, fault)
}

fn header(part: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, text) = part.split_once('=')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    let text = text.trim();
    let text = decoded(text).unwrap_or_else(|| text.to_owned());
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    (!value.is_empty()).then_some((name, value))
}

/// `None` where a `%` is followed by something else than it should be.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_standard_has_them() {
        let (headers, fault) = read("authorization=Basic%20bWU6cHc=, x-key = 1%2C2 ,,x-odd=5%");
        assert_eq!(fault, None);
        assert_eq!(headers["authorization"], "Basic bWU6cHc=");
        assert_eq!(headers["x-key"], "1,2");
        assert_eq!(headers["x-odd"], "5%");
        let (headers, fault) = read("x-key=1,hunter2,x y=hunter2,x-empty=,x=a\nb");
        assert_eq!(headers.len(), 1);
        let fault = fault.unwrap();
        assert!(fault.starts_with("part 2, 3, 4, 5 must") && !fault.contains("hunter2"));
    }
}
