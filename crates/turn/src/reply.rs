//! The form of an answer: what it takes from its request, and what it is signed with.

use super::snapshot::records::ConnectRecord;
use super::verdict::{DropReason, Verdict};
use taciturn_stun::{BufferFull, Class, LongTermKey, Message, Method, TransactionId, Writer};

/// What the answer to a proven user is signed with.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) key: LongTermKey,
    /// Whether it is MESSAGE-INTEGRITY-SHA256 in place of MESSAGE-INTEGRITY.
    pub(super) sha256: bool,
}

impl Signature {
    fn sign(&self, writer: &mut Writer<'_>) {
        match self.sha256 {
            true => writer.integrity_sha256(&self.key),
            false => writer.integrity(&self.key),
        };
    }
}

/// All that the answer to one request needs of it, whenever the answer is written.
#[derive(Clone, Debug)]
pub(super) struct ReplyForm {
    pub(super) method: Method,
    tid: TransactionId,
    fingerprint: bool,
    /// `None` for a sender that has proven nothing.
    pub(super) signature: Option<Signature>,
}

impl ReplyForm {
    //= 8489-5-same-transaction-id
    pub(super) fn new(message: &Message<'_>, signature: Option<Signature>) -> Self {
        Self {
            method: message.method(),
            tid: message.transaction_id(),
            //= 8489-12-fingerprint-optional
            fingerprint: message.has_fingerprint(),
            signature,
        }
    }

    /// That of a Connect request, for another process; `None` where nobody is proven to have sent it.
    pub(super) fn snapshot(&self) -> Option<ConnectRecord> {
        let Self { method: _, tid, fingerprint, signature } = self;
        let Signature { key, sha256 } = signature.as_ref()?;
        Some(ConnectRecord {
            tid: *tid,
            fingerprint: *fingerprint,
            key: key.clone(),
            sha256: *sha256,
        })
    }

    /// That of a Connect request that another process was sent.
    pub(super) fn restore(record: &ConnectRecord) -> Self {
        let ConnectRecord { tid, fingerprint, key, sha256 } = record;
        let signature = Signature { key: key.clone(), sha256: *sha256 };
        let (tid, fingerprint) = (*tid, *fingerprint);
        Self { method: Method::CONNECT, tid, fingerprint, signature: Some(signature) }
    }

    /// A writer for the answer. [`ReplyForm::finish`] ends it.
    pub(super) fn writer<'a>(&self, class: Class, buffer: &'a mut [u8]) -> Writer<'a> {
        Writer::new(buffer, class, self.method, self.tid)
    }

    //= 8489-6.3.1.1-authenticated-answers, 8489-9.2.4-answers-are-bare
    /// Signs the answer to a proven user, and adds FINGERPRINT if the request had one.
    pub(super) fn finish(&self, writer: &mut Writer<'_>) -> Verdict {
        if let Some(signature) = &self.signature {
            signature.sign(writer);
        }
        if self.fingerprint {
            writer.fingerprint();
        }
        match writer.finish() {
            Ok(len) => Verdict::Reply(len),
            Err(BufferFull) => Verdict::Drop(DropReason::TooLong),
        }
    }
}
