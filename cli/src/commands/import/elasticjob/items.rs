//! The parameters of single shards: `0=Beijing,1=Shanghai`.

/// Each shard's number and its parameter, and what is wrong with the text. A parameter may hold `=` and may be empty, which
/// ElasticJob refuses.
pub(super) fn items(text: &str) -> (Vec<(u32, String)>, Vec<String>) {
    let (mut items, mut faults) = (Vec::<(u32, String)>::new(), Vec::new());
    for part in text.split(',') {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        let (number, value) = part.split_once('=').unwrap_or((part, ""));
        match number.trim().parse() {
            Ok(number) if items.iter().any(|(item, _)| *item == number) => {
                faults.push(format!("shard {number} has two parameters: the first was taken"));
            }
            Ok(number) if part.contains('=') => items.push((number, value.trim().to_owned())),
            _ => faults.push(format!("{part:?} is not NUMBER=PARAMETER: which shard is meant? (A parameter cannot hold a comma.)")),
        }
    }
    (items, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_may_hold_equals_signs_and_be_empty() {
        let (found, faults) = items("0=a=b, 1= ,\n2=x");
        let wanted = [
            (0, "a=b".to_owned()),
            (1, String::new()),
            (2, "x".to_owned()),
        ];
        assert_eq!((found.as_slice(), faults.len()), (&wanted[..], 0));
    }

    #[test]
    fn what_names_no_shard_is_told() {
        let (found, faults) = items("0=a,b,1,0=c,x=d");
        assert_eq!(found, [(0, "a".to_owned())]);
        assert_eq!(faults.len(), 4, "{faults:?}");
    }
}
