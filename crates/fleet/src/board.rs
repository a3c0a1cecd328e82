//! What is on the board, and how it is read and written.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{AsyncConnectionConfig, ProtocolVersion, Value, cmd, pipe};
use ring::hmac;

use super::channels::Told;
use super::link::{BoardError, Link};
use super::node::{NodeRecord, is_name};
use super::reach::reach;
use super::settings::Settings;

/// How long the record of a node stays.
const NODE_LIFE: Duration = Duration::from_secs(15);

/// How many bans are read.
pub(super) const MOST_BANS: usize = 10_000;

/// How many kicks are read.
pub(super) const MOST_KICKS: usize = 100;

/// How many nodes are read.
pub(super) const MOST_NODES: usize = 256;

/// How long a kick is told to nodes that were away, in seconds: no allocation lives as long without a refresh.
const KICK_LIFE: u64 = 86_400;

/// A ban that has ended is taken away after so many seconds, whatever the clocks of the nodes.
const BAN_REST: u64 = 3600;

/// A ban as the board has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardBan {
    /// Whom it is for: `user:NAME`, `address:ADDRESS`, `network:NETWORK`.
    pub whom: String,
    /// Its end, in seconds since 1970.
    pub until: Option<u64>,
}

/// A kick as the board has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardKick {
    /// The user whose sessions end.
    pub user: String,
    /// Those that were made before, in milliseconds since 1970.
    pub at: u64,
}

/// Bans and kicks, read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Which board it is: another one, or one that has lost what it had, has another.
    pub epoch: String,
    /// All bans.
    pub bans: Vec<BoardBan>,
    /// Kicks of the last day.
    pub kicks: Vec<BoardKick>,
    /// Whether something that it had is gone, without that anybody took it away: a replica that has become the master
    /// may not have had all.
    pub has_lost: bool,
}

/// The board, as one connection has it.
pub(super) struct Board<'a> {
    settings: &'a Settings,
    link: Link,
    master: Option<String>,
}

impl<'a> Board<'a> {
    /// Connects, and says who this is.
    pub(super) async fn open(settings: &'a Settings) -> Result<Self, BoardError> {
        let config = AsyncConnectionConfig::new();
        let (link, master) = reach(settings, ProtocolVersion::RESP2, config).await?;
        Ok(Self { settings, link, master })
    }

    /// Where the master is that it is on, if Sentinel has named it.
    pub(super) fn master(&self) -> Option<&str> {
        self.master.as_deref()
    }

    pub(super) async fn ask(
        &mut self,
        pipeline: &redis::Pipeline,
    ) -> Result<Vec<Value>, BoardError> {
        self.link.ask(pipeline).await
    }

    /// Tells who listens to a channel.
    pub(super) async fn publish(&mut self, told: &Told) -> Result<(), BoardError> {
        let channel = self.settings.key(told.channel);
        let mut ask = pipe();
        for message in &told.messages {
            ask.cmd("PUBLISH").arg(&channel).arg(message.as_slice());
        }
        self.ask(&ask).await.map(drop)
    }

    /// The number that changes with the bans and kicks, and which board it is. A board without one is given `fresh`.
    pub(super) async fn version(&mut self, fresh: &str) -> Result<(Vec<u8>, String), BoardError> {
        let mut ask = pipe();
        ask.cmd("SET").arg(self.settings.key("epoch")).arg(fresh).arg("NX").ignore();
        ask.cmd("GET").arg(self.settings.key("version"));
        ask.cmd("GET").arg(self.settings.key("epoch"));
        let answer = self.ask(&ask).await?;
        let [version, epoch] = answer.as_slice() else { return Err(unexpected("GET")) };
        let epoch =
            text(epoch).filter(|epoch| is_name(epoch)).ok_or_else(|| unexpected("epoch"))?;
        Ok((bytes(version).unwrap_or_default().to_vec(), epoch.to_owned()))
    }

    /// Bans and kicks. What is none is left out.
    pub(super) async fn read(&mut self, now: u64) -> Result<Contents, BoardError> {
        let mut ask = pipe();
        self.ask_for_contents(ask.atomic(), now);
        contents(&self.ask(&ask).await?)
    }

    /// Adds bans and kicks, takes bans away, and has all nodes read. Returns the version that this makes, and what the
    /// board has then: all of one moment, for what another node takes away a moment later was there.
    pub(super) async fn write(
        &mut self,
        add: &[BoardBan],
        remove: &[String],
        kick: Option<&BoardKick>,
        now: u64,
    ) -> Result<(Vec<u8>, Contents), BoardError> {
        let mut ask = pipe();
        ask.atomic();
        let [bans, kicks] = ["bans", "kicks"].map(|name| self.settings.key(name));
        for BoardBan { whom, until } in add {
            let end = until.map_or_else(|| "+inf".to_owned(), |until| until.to_string());
            ask.cmd("ZADD").arg(&bans).arg(end).arg(whom).ignore();
        }
        for whom in remove {
            ask.cmd("ZREM").arg(&bans).arg(whom).ignore();
        }
        if let Some(BoardKick { user, at }) = kick {
            ask.cmd("ZADD").arg(&kicks).arg(*at).arg(user).ignore();
        }
        for (key, over) in
            [(&bans, now.saturating_sub(BAN_REST)), (&kicks, now.saturating_sub(KICK_LIFE) * 1000)]
        {
            ask.cmd("ZREMRANGEBYSCORE").arg(key).arg("-inf").arg(over).ignore();
        }
        ask.cmd("INCR").arg(self.settings.key("version"));
        self.ask_for_contents(&mut ask, now);
        let answer = self.ask(&ask).await?;
        let [Value::Int(version), rest @ ..] = answer.as_slice() else {
            return Err(unexpected("INCR"));
        };
        Ok((version.to_string().into_bytes(), contents(rest)?))
    }

    /// The epoch goes along: a board that has just lost everything must not look like one where all bans were ended.
    fn ask_for_contents(&self, ask: &mut redis::Pipeline, now: u64) {
        ask.cmd("GET").arg(self.settings.key("epoch"));
        let mut range = |key: &str, least: u64, most: usize| {
            let key = self.settings.key(key);
            ask.cmd("ZREVRANGEBYSCORE").arg(key).arg("+inf").arg(least);
            ask.arg("WITHSCORES").arg("LIMIT").arg(0).arg(most);
        };
        range("bans", now, MOST_BANS);
        range("kicks", now.saturating_sub(KICK_LIFE) * 1000, MOST_KICKS);
    }

    /// Tells of this node, and returns all. `false` if another process of this name is there.
    pub(super) async fn meet(
        &mut self,
        mut own: NodeRecord,
        seal_with: Option<&hmac::Key>,
    ) -> Result<(Vec<NodeRecord>, bool), BoardError> {
        let nodes = self.settings.key("nodes");
        let key = |node: &str| self.settings.key(&format!("node:{node}"));
        let mut ask = pipe();
        ask.cmd("ZRANGE").arg(&nodes).arg(0).arg(MOST_NODES - 1).arg("WITHSCORES");
        ask.cmd("TIME");
        let answer = self.ask(&ask).await?;
        let listed = answer.first().and_then(|nodes| scored(nodes, MOST_NODES));
        let listed = listed.ok_or_else(|| unexpected("nodes"))?;
        let time = answer.get(1).and_then(seconds).ok_or_else(|| unexpected("TIME"))?;
        let now = unix_now();
        own.clock_offset = offset(now, time).ok_or_else(|| unexpected("TIME"))?;
        if let Some(key) = seal_with {
            own = own.sealed(key, now);
        }
        let mut names: BTreeMap<String, Option<u64>> =
            listed.into_iter().filter(|(name, _)| is_name(name)).collect();
        names.insert(own.node.clone(), None);
        let mut get = cmd("MGET");
        names.keys().for_each(|node| {
            get.arg(key(node));
        });
        let mut ask = pipe();
        ask.add_command(get);
        let answer = self.ask(&ask).await?;
        let Some(Value::Array(records)) = answer.first() else { return Err(unexpected("MGET")) };
        let records: Vec<_> = records.iter().map(|v| NodeRecord::decode(bytes(v)?)).collect();
        let known: Vec<_> = names.iter().zip(records).collect();
        let is_ours = known.iter().all(|((name, _), record)| {
            **name != own.node || record.as_ref().is_none_or(|record| record.boot == own.boot)
        });
        let mut ask = pipe();
        if is_ours {
            let life = u64::try_from(NODE_LIFE.as_millis()).unwrap_or(u64::MAX);
            ask.cmd("SET").arg(key(&own.node)).arg(own.encode()).arg("PX").arg(life).ignore();
            ask.cmd("ZADD").arg(&nodes).arg(time).arg(&own.node).ignore();
        }
        // One that has just come may be on the list before its record was read here.
        let has_come =
            |at: &Option<u64>| at.is_some_and(|at| time.abs_diff(at) < NODE_LIFE.as_secs());
        let gone = known
            .iter()
            .filter(|((name, at), record)| record.is_none() && **name != own.node && !has_come(at));
        for ((name, _), _) in gone {
            ask.cmd("ZREM").arg(&nodes).arg(*name).ignore();
        }
        ask.cmd("PING");
        self.ask(&ask).await?;
        let others = known.into_iter().filter_map(|((name, _), record)| {
            record.filter(|record| record.node == *name && (*name != own.node || !is_ours))
        });
        let mut all: Vec<_> = others.collect();
        if let Some(key) = seal_with {
            all.iter_mut().for_each(|record| record.judge(key, now));
        }
        if is_ours {
            all.push(own);
        }
        all.sort_by(|one, other| one.node.cmp(&other.node));
        Ok((all, is_ours))
    }
}

/// The answer to [`Board::ask_for_contents`].
fn contents(answer: &[Value]) -> Result<Contents, BoardError> {
    let [epoch, bans, kicks] = answer else { return Err(unexpected("ZREVRANGEBYSCORE")) };
    let epoch = text(epoch).filter(|epoch| is_name(epoch)).ok_or_else(|| unexpected("epoch"))?;
    let bans = scored(bans, MOST_BANS).ok_or_else(|| unexpected("bans"))?;
    let kicks = scored(kicks, MOST_KICKS).ok_or_else(|| unexpected("kicks"))?;
    let ban = |(whom, until)| BoardBan { whom, until };
    let kick = |(user, at): (String, Option<u64>)| Some(BoardKick { user, at: at? });
    Ok(Contents {
        epoch: epoch.to_owned(),
        bans: bans.into_iter().map(ban).collect(),
        kicks: kicks.into_iter().filter_map(kick).collect(),
        has_lost: false,
    })
}

fn unexpected(what: &str) -> BoardError {
    BoardError::Refused(format!("an answer to {what} that was not expected"))
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

/// The seconds of an answer to TIME.
fn seconds(value: &Value) -> Option<u64> {
    let Value::Array(values) = value else { return None };
    text(values.first()?)?.parse().ok()
}

/// By how many seconds the clock of this machine is ahead of the board's.
fn offset(ours: u64, theirs: u64) -> Option<i64> {
    i64::try_from(ours).ok()?.checked_sub(i64::try_from(theirs).ok()?)
}

/// Now, in seconds since 1970.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Members with their scores; one that is infinite, or none, is no number.
fn scored(value: &Value, most: usize) -> Option<Vec<(String, Option<u64>)>> {
    let Value::Array(values) = value else { return None };
    let pairs = values.chunks_exact(2).take(most);
    Some(
        pairs
            .filter_map(|pair| Some((text(pair.first()?)?.to_owned(), score(pair.get(1)?))))
            .collect(),
    )
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and what is none was left out
fn score(value: &Value) -> Option<u64> {
    let score: f64 = text(value)?.parse().ok()?;
    (score.is_finite() && score >= 0.0).then_some(score as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn scores_are_read_and_what_is_none_has_no_end() {
        for (text, expected) in [
            ("1700000000", Some(1_700_000_000)),
            ("1.7e9", Some(1_700_000_000)),
            ("inf", None),
            ("-1", None),
            ("nan", None),
            ("x", None),
            ("1e300", Some(u64::MAX)),
        ] {
            assert_eq!(score(&bulk(text)), expected, "{text}");
        }
    }

    #[test]
    fn of_an_answer_only_pairs_of_text_are_taken_and_no_more_than_so_many() {
        let value = Value::Array(vec![
            bulk("a"),
            bulk("5"),
            Value::BulkString(vec![0xFF]),
            bulk("6"),
            Value::Nil,
            Value::Int(7),
            bulk("b"),
            bulk("inf"),
            bulk("left over"),
        ]);
        let both = vec![("a".to_owned(), Some(5)), ("b".to_owned(), None)];
        assert_eq!(scored(&value, 10), Some(both.clone()));
        assert_eq!(scored(&value, 1), Some(both[..1].to_vec()));
        assert_eq!(scored(&Value::Okay, 10), None);
    }
}
