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
        user: Option<String>,
        mut known: BTreeSet<String>,
        server: &ServerHandle,
        done: oneshot::Sender<Result<FleetAnswer, Error>>,
    ) {
        let (asker, node, server) = (self.asker.clone(), self.node.clone(), server.clone());
        known.remove(&node);
        let share = (MOST_SESSIONS / (known.len() + 1)).min(MOST_NODE_SESSIONS);
        let wanted = Wanted {
            sessions: if sessions { u32::try_from(share).unwrap_or(u32::MAX) } else { 0 },
            user,
        };
        tokio::spawn(async move {
            let most = if sessions { share } else { 0 };
            let own = node_answer(&server, &node, most, wanted.user.clone());
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
        let Asked { wanted: Wanted { sessions, user }, .. } = &asked;
        let most = usize::try_from(*sessions).unwrap_or(usize::MAX);
        match node_answer(&server, &node, most, user.clone()).await {
            Ok(answer) => asked.answer(answer.encode()),
            // A worker hangs: who asks is told that this node is silent.
            Err(error) => tracing::debug!("fleet: no answer: {error}"),
        }
    }
}

/// What comes of the answers.
fn gathered(
    node: String,
    own: NodeAnswer,
    mut known: BTreeSet<String>,
    replies: Replies,
) -> FleetAnswer {
    let Replies { replies, trouble } = replies;
    let (mut answered, mut unreadable) = (vec![own], Vec::new());
    for (name, reply) in replies.into_iter().filter(|(name, _)| *name != node) {
        known.remove(&name);
        match NodeAnswer::decode(&name, &reply) {
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

#[cfg(test)]
mod tests {
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
    fn without_the_board_there_is_this_node() {
        let replies = Replies { replies: Vec::new(), trouble: Some("gone".to_owned()) };
        let (told, _) = gathered("b".to_owned(), answer("b"), names(&[]), replies);
        assert_eq!(told.answered, [status("b")]);
        assert!(!told.is_whole());
    }
}
