//! The server asks all nodes of its fleet, and answers when it is asked: for its state and its sessions.
//!
//! Tasks of their own, so that the main loop waits for nobody. What another node answers is judged as a stranger's.

use std::collections::BTreeSet;

use taciturn::admin::control::FleetAnswer;
use taciturn::admin::{ServerHandle, node_answer};
use taciturn_control::{
    Error, ErrorKind, FleetStatus, MOST_NODE_SESSIONS, NodeAnswer, NodeStatus, Session,
};
use taciturn_fleet::{Asked, Asker, Questions, Replies, Settings, Wanted};
use taciturn_turn::{TenantName, Whose};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Sessions of all nodes that one question may bring; each lists its share.
const MOST_SESSIONS: usize = 20_000;

/// A node that asks, and is asked.
pub(super) struct FleetQuestions {
    node: String,
    asker: Asker,
    task: JoinHandle<()>,
}

impl Drop for FleetQuestions {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FleetQuestions {
    /// Answers from now on. Within a runtime. `boot` is a number of this process alone.
    pub(super) fn start(settings: Settings, boot: u64, server: &ServerHandle) -> Self {
        let node = settings.node.clone();
        let questions = Questions::start(settings, boot);
        let asker = questions.asker();
        let task = tokio::spawn(answer(questions, node.clone(), server.clone()));
        Self { node, asker, task }
    }

    /// Asks all nodes, and this one. Those of `known` are waited for.
    pub(super) fn ask(
        &self,
        sessions: bool,
        whose: Whose,
        mut known: BTreeSet<String>,
        server: &ServerHandle,
        done: oneshot::Sender<Result<FleetAnswer, Error>>,
    ) {
        let (asker, node, server) = (self.asker.clone(), self.node.clone(), server.clone());
        known.remove(&node);
        let share = (MOST_SESSIONS / (known.len() + 1)).min(MOST_NODE_SESSIONS);
        let wanted = Wanted {
            sessions: if sessions { u32::try_from(share).unwrap_or(u32::MAX) } else { 0 },
            user: whose.user.clone(),
            tenant: whose.tenant.as_ref().map(ToString::to_string),
        };
        tokio::spawn(async move {
            let most = if sessions { share } else { 0 };
            let own = node_answer(&server, &node, most, &whose);
            let (own, replies) = tokio::join!(own, asker.ask(wanted, known.clone()));
            let answer = own.map(|own| gathered(node, own, known, replies));
            // Who asks may have gone away.
            let _ = done.send(answer.map_err(|error| Error::new(ErrorKind::Internal, error)));
        });
    }
}

/// Answers whoever asks, one at a time.
async fn answer(mut questions: Questions, node: String, server: ServerHandle) {
    while let Some(asked) = questions.asked.recv().await {
        let Asked { wanted: Wanted { sessions, user, tenant }, .. } = &asked;
        let most = usize::try_from(*sessions).unwrap_or(usize::MAX);
        let Ok(tenant) = tenant.as_ref().map(|tenant| tenant.parse()).transpose() else {
            tracing::debug!("fleet: a question about what is no tenant");
            continue;
        };
        let whose = Whose { user: user.clone(), tenant, client: None };
        match node_answer(&server, &node, most, &whose).await {
            Ok(answer) => asked.answer(answer.encode()),
            // A worker hangs: who asks is told that this node is silent.
            Err(error) => tracing::debug!("fleet: no answer: {error}"),
        }
    }
}

/// What comes of the answers. One that is not of the tenant that this node's own is of, as a server that knows no such
/// question gives it, cannot be read.
fn gathered(
    node: String,
    own: NodeAnswer,
    mut known: BTreeSet<String>,
    replies: Replies,
) -> FleetAnswer {
    let Replies { replies, trouble } = replies;
    let tenant = own.status.tenant.clone();
    let (mut answered, mut unreadable) = (vec![own], Vec::new());
    for (name, reply) in replies.into_iter().filter(|(name, _)| *name != node) {
        known.remove(&name);
        let answer = NodeAnswer::decode(&name, &reply);
        match answer.filter(|answer| is_of(answer, tenant.as_deref())) {
            Some(answer) => answered.push(answer),
            None => unreadable.push(name),
        }
    }
    answered.sort_by(|one, other| one.status.node.cmp(&other.status.node));
    unreadable.sort();
    let (answered, sessions): (Vec<NodeStatus>, Vec<Vec<Session>>) =
        answered.into_iter().map(|answer| (answer.status, answer.sessions)).unzip();
    let silent = known.into_iter().collect();
    let mut sessions: Vec<Session> = sessions.into_iter().flatten().collect();
    for session in &mut sessions {
        // Of the others it is there.
        session.node.get_or_insert_with(|| node.clone());
    }
    (FleetStatus { node, answered, silent, unreadable, trouble }, sessions)
}

/// Whether all of an answer is of a tenant, if one was asked for.
fn is_of(answer: &NodeAnswer, tenant: Option<&str>) -> bool {
    let of =
        |session: &Session| session.tenant.as_deref().unwrap_or(TenantName::DEFAULT).to_owned();
    answer.status.tenant.as_deref() == tenant
        && tenant.is_none_or(|tenant| answer.sessions.iter().all(|session| of(session) == tenant))
}

#[cfg(test)]
mod tests {
    use taciturn_control::Traffic;

    use super::*;

    fn status(node: &str) -> NodeStatus {
        NodeStatus { node: node.to_owned(), version: "0.1.0".to_owned(), ..NodeStatus::default() }
    }

    fn names(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    fn answer(node: &str) -> NodeAnswer {
        NodeAnswer { status: status(node), sessions: Vec::new() }
    }

    #[test]
    fn who_has_answered_who_has_not_and_who_cannot_be_read() {
        let replies = vec![
            ("d".to_owned(), answer("d").encode().into_bytes()),
            ("c".to_owned(), b"[[[[".to_vec()),
            // In another name, and in this node's.
            ("a".to_owned(), answer("z").encode().into_bytes()),
            ("b".to_owned(), answer("b").encode().into_bytes()),
        ];
        let replies = Replies { replies, trouble: None };
        let (told, sessions) =
            gathered("b".to_owned(), answer("b"), names(&["a", "c", "e"]), replies);
        let expected = FleetStatus {
            node: "b".to_owned(),
            answered: vec![status("a"), status("b"), status("d")],
            silent: vec!["e".to_owned()],
            unreadable: vec!["c".to_owned()],
            trouble: None,
        };
        assert_eq!((told, sessions), (expected, Vec::new()));
    }

    #[test]
    fn what_is_not_of_the_tenant_that_was_asked_for_cannot_be_read() {
        let session = |tenant: Option<&str>| Session {
            node: None,
            client: "192.0.2.1:49152".to_owned(),
            transport: "udp".to_owned(),
            user: "alice".to_owned(),
            tenant: tenant.map(str::to_owned),
            relayed_addresses: vec!["203.0.113.1:59000".to_owned()],
            permissions: 0,
            channels: 0,
            kernel_channels: None,
            traffic: Traffic::default(),
            age_seconds: 1,
            expires_in_seconds: 1,
        };
        let of = |node: &str, tenant: Option<&str>, sessions: Vec<Session>| NodeAnswer {
            status: NodeStatus { tenant: tenant.map(str::to_owned), ..status(node) },
            sessions,
        };
        let told = |tenant: Option<&str>, answers: Vec<NodeAnswer>| {
            let own = of("a", tenant, Vec::new());
            let replies = answers
                .into_iter()
                .map(|answer| (answer.status.node.clone(), answer.encode().into_bytes()));
            let replies = Replies { replies: replies.collect(), trouble: None };
            let (told, sessions) = gathered("a".to_owned(), own, names(&[]), replies);
            (told.unreadable, sessions.len())
        };
        let answers = vec![
            of("b", Some("acme"), vec![session(Some("acme"))]),
            // Of a version that knows no such question, and of one that lies.
            of("c", None, vec![session(Some("acme"))]),
            of("d", Some("acme"), vec![session(Some("acme")), session(None)]),
        ];
        let unreadable = vec!["c".to_owned(), "d".to_owned()];
        assert_eq!(told(Some("acme"), answers), (unreadable, 1));
        let answers = vec![of("b", Some("default"), vec![session(None)])];
        assert_eq!(told(Some("default"), answers), (Vec::new(), 1));
        let answers = vec![of("b", None, vec![session(None), session(Some("acme"))])];
        assert_eq!(told(None, answers), (Vec::new(), 2));
    }

    #[test]
    fn without_the_board_there_is_this_node() {
        let replies = Replies { replies: Vec::new(), trouble: Some("gone".to_owned()) };
        let (told, _) = gathered("b".to_owned(), answer("b"), names(&[]), replies);
        assert_eq!(told.answered, [status("b")]);
        assert!(!told.is_whole());
    }
}
