//! A stream on the board that entries are added to.

use std::fmt;

use redis::{AsyncConnectionConfig, ProtocolVersion, Value, pipe};

use super::link::{BoardError, Link};
use super::reach::reach;
use super::settings::Settings;

/// How many entries are added in one go.
const AT_ONCE: usize = 256;

/// Adds entries to a stream. The connection is made when it is needed, and made anew after an error.
pub struct EntryWriter {
    settings: Settings,
    key: String,
    length: u32,
    link: Option<Link>,
}

impl fmt::Debug for EntryWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryWriter").field("key", &self.key).finish_non_exhaustive()
    }
}

impl EntryWriter {
    /// Of the stream `name`, behind the prefix, with about `length` entries at most: the oldest are removed.
    #[must_use]
    pub fn new(settings: Settings, name: &str, length: u32) -> Self {
        let key = settings.key(name);
        Self { settings, key, length, link: None }
    }

    /// The stream, and where it is.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} of {}", self.key, self.settings.place)
    }

    /// Adds entries of one field each, in this order. If this fails, some of them may have been added.
    ///
    /// # Errors
    /// When the board cannot be asked, or refuses, in words.
    pub async fn add(&mut self, field: &str, entries: &[&[u8]]) -> Result<(), String> {
        let added = self.try_add(field, entries).await;
        if added.is_err() {
            self.link = None;
        }
        added.map_err(|error| error.to_string())
    }

    async fn try_add(&mut self, field: &str, entries: &[&[u8]]) -> Result<(), BoardError> {
        let link = match &mut self.link {
            Some(link) => link,
            none => {
                let config = AsyncConnectionConfig::new();
                let (link, _) = reach(&self.settings, ProtocolVersion::RESP2, config).await?;
                none.insert(link)
            }
        };
        for some in entries.chunks(AT_ONCE) {
            let mut ask = pipe();
            for entry in some {
                let add = ask.cmd("XADD").arg(&self.key).arg("MAXLEN").arg("~").arg(self.length);
                add.arg("*").arg(field).arg(*entry);
            }
            let answers = link.ask(&ask).await?;
            let is_id = |answer: &Value| matches!(answer, Value::BulkString(_));
            if answers.len() != some.len() || !answers.iter().all(is_id) {
                return Err(BoardError::Refused("it does not tell that all was added".to_owned()));
            }
        }
        Ok(())
    }
}
