//! How well data pass: the size of packets, how many get lost, how long they take.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::reach::Target;
use super::{Run, data, ms};
use crate::client::{Client, ClientError, Incoming, Spoken};
use crate::report::{Finding, Section};

/// Bytes of data in the packets of the ladder. 1200 is what browsers send for video; 1468 fills an
/// Ethernet frame together with the headers of IPv4, UDP and the channel.
const LADDER: &[u16] = &[548, 1000, 1200, 1300, 1400, 1440, 1468];

/// What must pass.
const NEEDED: u16 = 1200;

/// The packets of a voice, for one second.
const PACKETS: usize = 50;
const EVERY: Duration = Duration::from_millis(20);
const VOICE: usize = 172;

/// How long the last packets are waited for.
const LATE: Duration = Duration::from_millis(1500);

/// Between two clients whose channels are bound to each other.
pub(super) async fn test(
    run: &mut Run<'_>,
    target: &Target,
    section: &mut Section,
    (a, b): (&mut Client, &mut Client),
) {
    if target.uri.spoken() == Spoken::Udp {
        match ladder(a, b).await {
            Ok(passed) => section.push(of_sizes(&passed)),
            Err(error) => section.push(interrupted(&error)),
        }
    }
    match voice(a, b).await {
        Ok(times) => {
            section.push(of_times(run, target, times));
        }
        Err(error) => section.push(interrupted(&error)),
    }
}

fn interrupted(error: &ClientError) -> Finding {
    Finding::fail("connection-lost", format!("the connection ends while data pass: {error}"))
        .why("calls break off like this.")
        .fix("Run the check again; look into the server's log and at its load.")
}

/// The sizes that arrived.
async fn ladder(a: &mut Client, b: &mut Client) -> Result<Vec<u16>, ClientError> {
    let channel = data::channel()?;
    let mut passed: Vec<u16> = Vec::new();
    for _ in 0..4 {
        for size in LADDER.iter().filter(|size| !passed.contains(size)).copied().collect::<Vec<_>>()
        {
            // Larger than what the interface here takes: the system refuses it at once.
            let _ = a.send_on(channel, &vec![0x55; usize::from(size)]).await;
        }
        let deadline = Instant::now() + Duration::from_millis(400);
        while passed.len() < LADDER.len()
            && let Some(incoming) = b.receive(deadline).await?
        {
            let size = u16::try_from(incoming.data().len()).unwrap_or_default();
            if LADDER.contains(&size) && !passed.contains(&size) {
                passed.push(size);
            }
        }
        if passed.len() == LADDER.len() {
            break;
        }
    }
    Ok(passed)
}

fn of_sizes(passed: &[u16]) -> Finding {
    let largest = passed.iter().copied().max().unwrap_or(0);
    let lost: Vec<_> = LADDER.iter().filter(|size| !passed.contains(size)).collect();
    if passed.contains(&NEEDED) {
        return Finding::pass("mtu", format!("packets of up to {largest} bytes of data pass"));
    }
    let lost: Vec<_> = lost.iter().map(ToString::to_string).collect();
    Finding::fail("mtu-small", format!("packets of {} bytes get lost on the way", lost.join(", ")))
        .why("voice passes and video does not, or the call never connects (DTLS, then large frames).")
        .fix(
            "Something on the way (a VPN, a tunnel, PPPoE) has a small MTU and drops fragments. On \
             the server look at\n  ip link\nand let ICMP \"fragmentation needed\" pass the firewall.",
        )
}

/// Times from A to B of the packets that arrived; `None` for those that did not.
async fn voice(a: &mut Client, b: &mut Client) -> Result<Vec<Option<Duration>>, ClientError> {
    let channel = data::channel()?;
    let begun = Instant::now();
    let sending = async {
        for at in 0..PACKETS {
            sleep_until(begun + EVERY * at as u32).await;
            let mut packet = [0xAA; VOICE];
            let sent = begun.elapsed().as_nanos() as u64;
            packet[..8].copy_from_slice(&sent.to_be_bytes());
            packet[8..16].copy_from_slice(&(at as u64).to_be_bytes());
            a.send_on(channel, &packet).await?;
        }
        Ok::<_, ClientError>(())
    };
    let receiving = async {
        let mut times = vec![None; PACKETS];
        let deadline = begun + EVERY * PACKETS as u32 + LATE;
        while times.iter().any(Option::is_none)
            && let Some(incoming) = b.receive(deadline).await?
        {
            let Incoming::Channel { data, .. } = incoming else { continue };
            let [Some(sent), Some(at)] = [0, 8].map(|at| data.get(at..at + 8)) else { continue };
            let number =
                |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).unwrap_or(u64::MAX);
            let took = begun.elapsed().saturating_sub(Duration::from_nanos(number(sent)));
            let at = usize::try_from(number(at)).unwrap_or(usize::MAX);
            if let Some(slot) = times.get_mut(at).filter(|_| data.len() == VOICE) {
                *slot = Some(took);
            }
        }
        Ok::<_, ClientError>(times)
    };
    let (sent, times) = tokio::join!(sending, receiving);
    sent?;
    times
}

fn of_times(run: &mut Run<'_>, target: &Target, times: Vec<Option<Duration>>) -> Finding {
    let mut arrived: Vec<Duration> = times.iter().flatten().copied().collect();
    arrived.sort_unstable();
    let lost = times.len() - arrived.len();
    let percent = lost as f64 * 100.0 / times.len().max(1) as f64;
    let at = |share: usize| {
        let last = arrived.len().saturating_sub(1);
        arrived.get((arrived.len() * share / 100).min(last)).copied().unwrap_or_default()
    };
    let (p50, p95, p99) = (at(50), at(95), at(99));
    let number = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    run.measured.push(json!({
        "target": target.shown(), "uri": target.uri.text, "packets": times.len(), "lost": lost,
        "loop_ms": { "p50": number(p50), "p95": number(p95), "p99": number(p99) },
    }));
    let title = format!(
        "{lost} of {} packets lost; client to client through the relay {} (P95 {}, P99 {})",
        times.len(),
        ms(p50),
        ms(p95),
        ms(p99)
    );
    let fix = "Run the check again from another network. If it stays, look at the server's load and \
               at the socket buffers (ss -uam shows drops), and at the line on both sides.";
    if percent > 10.0 {
        Finding::fail("loss", title).why("voice breaks up, and video freezes.").fix(fix)
    } else if percent > 2.0 {
        Finding::warn("loss", title).why("voice crackles, and video loses its sharpness.").fix(fix)
    } else if p50 > Duration::from_millis(400) {
        Finding::warn("latency", title)
            .why("people talk at the same time when it takes longer than 400 ms.")
            .fix("Use a server nearer to the users, or UDP where this is TCP or TLS.")
    } else {
        Finding::pass("quality", title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    #[test]
    fn what_browsers_send_must_pass() {
        assert_eq!(of_sizes(LADDER).status, Status::Pass);
        assert!(of_sizes(&[548, 1000, 1200]).title.contains("up to 1200 bytes"));
        let small = of_sizes(&[548, 1000]);
        assert_eq!((small.id, small.status), ("mtu-small", Status::Fail));
        assert!(small.title.contains("1200, 1300, 1400"), "{}", small.title);
    }
}
