//! How late this machine's clock is, by one question to a time server (RFC 5905 section 14).

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::report::Finding;

/// Seconds from 1900 to 1970.
const EPOCH: u64 = 2_208_988_800;
const PATIENCE: Duration = Duration::from_secs(3);
/// Credentials are good for minutes at least: less than this harms nobody.
const HARMLESS: i64 = 30;
const HARMFUL: i64 = 300;

pub(super) fn finding(server: &str) -> Finding {
    match offset(server) {
        Ok(offset) => judge(server, offset),
        Err(error) => Finding::skip("clock-offset", format!("{server} was asked: {error}")),
    }
}

fn judge(server: &str, offset: i64) -> Finding {
    let title = match offset {
        0 => format!("the clock agrees with {server} to the second"),
        late if late > 0 => format!("the clock is {late} s late, by {server}"),
        early => format!("the clock is {} s early, by {server}", early.unsigned_abs()),
    };
    let why = "Credentials of a homeserver expire at a time: early ones are refused, late ones are \
               good for too long.";
    let fix = "Let it be set:\n  timedatectl set-ntp true";
    match offset.saturating_abs() {
        off if off <= HARMLESS => Finding::pass("clock-offset", title),
        off if off <= HARMFUL => Finding::warn("clock-offset", title).why(why).fix(fix),
        _ => Finding::fail("clock-offset", title).why(why).fix(fix),
    }
}

/// Seconds to add to this machine's clock.
fn offset(server: &str) -> io::Result<i64> {
    let server = if server.contains(':') { server.to_owned() } else { format!("{server}:123") };
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(&server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // Leap unknown, version 4, client; the rest may be nothing.
    let mut question = [0u8; 48];
    question[0] = 0x23;
    getrandom::fill(&mut question[40..]).map_err(|error| io::Error::other(error.to_string()))?;
    socket.send(&question)?;
    let mut answer = [0u8; 48];
    let length = socket.recv(&mut answer)?;
    let theirs = read(&question, answer.get(..length).unwrap_or_default())
        .ok_or_else(|| io::Error::other("the answer is not one of a time server"))?;
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
    Ok(theirs.cast_signed().saturating_sub(ours.cast_signed()))
}

/// The server's time of sending, in seconds since 1970.
fn read(question: &[u8; 48], answer: &[u8]) -> Option<u64> {
    let (mode, stratum) = (answer.first()? & 7, *answer.get(1)?);
    let ours = answer.get(24..32)? == question.get(40..48)?;
    let seconds = u32::from_be_bytes(answer.get(40..44)?.try_into().ok()?);
    let seconds = u64::from(seconds);
    // The counter started again in 2036.
    let seconds = if seconds < EPOCH { seconds + (1 << 32) } else { seconds };
    (mode == 4 && (1..16).contains(&stratum) && ours && answer.len() >= 48).then(|| seconds - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    #[test]
    fn offsets_are_judged_by_what_they_do_to_credentials() {
        let status = |offset| judge("h", offset).status;
        assert_eq!([status(0), status(-30), status(30)], [Status::Pass; 3]);
        assert_eq!([status(31), status(-300)], [Status::Warn; 2]);
        assert_eq!([status(7200), status(-7200)], [Status::Fail; 2]);
    }

    #[test]
    fn answers_must_be_those_to_the_question() {
        let mut question = [0u8; 48];
        question[40..].copy_from_slice(b"cookie!!");
        let mut answer = [0u8; 48];
        answer[0] = 0x24;
        answer[1] = 2;
        answer[24..32].copy_from_slice(b"cookie!!");
        answer[40..44].copy_from_slice(&(2_208_988_800u32 + 1_700_000_000).to_be_bytes());
        assert_eq!(read(&question, &answer), Some(1_700_000_000));
        assert_eq!(read(&question, &answer[..40]), None);
        answer[1] = 0; // "kiss of death"
        assert_eq!(read(&question, &answer), None);
        answer[1] = 2;
        answer[24] = 0;
        assert_eq!(read(&question, &answer), None);
    }
}
