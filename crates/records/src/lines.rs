//! Lines of a file that may have been cut off.

use serde::de::IgnoredAny;

/// The whole lines of what was read, without the end of the line, and how many are none: the disk may have lost what was
/// not confirmed, or changed what was. What stands behind the last end of a line was not written to its end, and counts
/// for nothing.
pub(crate) fn whole(bytes: &[u8]) -> (Vec<&[u8]>, u64) {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (mut lines, mut damaged) = (Vec::new(), 0);
    for line in bytes.get(..end).unwrap_or_default().split(|byte| *byte == b'\n') {
        match is_record(line) {
            true => lines.push(line),
            false => damaged += u64::from(!line.is_empty()),
        }
    }
    (lines, damaged)
}

fn is_record(line: &[u8]) -> bool {
    line.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(bytes: &[u8]) -> (Vec<&str>, u64) {
        let (lines, damaged) = whole(bytes);
        (lines.into_iter().map(|line| std::str::from_utf8(line).unwrap_or("?")).collect(), damaged)
    }

    #[test]
    fn what_was_not_written_to_its_end_is_left_out() {
        assert_eq!(lines(b""), (vec![], 0));
        assert_eq!(lines(b"{\"a\":1"), (vec![], 0));
        assert_eq!(lines(b"{\"a\":1}\n{\"b\":"), (vec!["{\"a\":1}"], 0));
        assert_eq!(lines(b"{\"a\":1}\n\0\0\0\0\n{\"b\":2}\n"), (vec!["{\"a\":1}", "{\"b\":2}"], 1));
        assert_eq!(lines(b"{\"a\":1}{\"b\":2}\n"), (vec![], 1));
        assert_eq!(lines(b"\0\0\0"), (vec![], 0));
    }

    proptest! {
        /// Cut off anywhere, a file has the lines that were whole, and no other.
        #[test]
        fn a_file_that_is_cut_off_anywhere_has_the_lines_before(count in 0_usize..6, cut in 0_usize..400) {
            let all: Vec<_> = (0..count).map(|n| format!("{{\"id\":\"{}\",\"n\":{n}}}", "x".repeat(n * 7))).collect();
            let text: String = all.iter().map(|line| format!("{line}\n")).collect();
            let cut = cut.min(text.len());
            let expected = text[..cut].matches('\n').count();
            let (found, damaged) = lines(&text.as_bytes()[..cut]);
            prop_assert_eq!(damaged, 0);
            prop_assert_eq!(found, all[..expected].iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
