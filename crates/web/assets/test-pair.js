import { End, sleep, within } from './test-measure.js';

const POLL_MS = 1000;
const GATHER_MS = 10_000;
const MORE_MS = 700; // for further candidates after the first
const CONNECT_MS = 20_000;
const LINGER_MS = 2000; // the other one may have begun later

// Waits for the other person of the link until `isOver`, and tries a call. `ask` hands data to that one and returns what came; `server` is what this one
// calls through, if anything works. `show` gets the key of a text, and at the end what was measured.
export async function meet({ id, server, ask, show, isOver }) {
  const outbox = [];
  let [peer, after, end] = [null, 0, null];

  async function begin(offer) {
    end?.connection.close();
    const mine = (end = new End(server));
    const { connection } = mine;
    show('pairTesting');
    if (offer) await connection.setRemoteDescription({ type: 'offer', sdp: offer });
    await connection.setLocalDescription(await (offer ? connection.createAnswer() : connection.createOffer()));
    await within(GATHER_MS, mine.ready);
    await within(MORE_MS, mine.gathered);
    const { type, sdp } = connection.localDescription;
    outbox.push({ type, sdp, from: id, to: peer });
    const connected = Boolean(await within(CONNECT_MS, mine.opened));
    const measured = connected ? await mine.send() : { sent: 0, rtt_ms: null };
    if (connected) await sleep(LINGER_MS);
    if (mine !== end) return;
    connection.close();
    show(connected ? 'pairWorks' : 'pairFails', { with: peer, connected, received: mine.came.size, ...measured });
  }

  function take({ type, sdp, from, to }) {
    if (from !== peer || to !== id) return;
    if (type === 'unable') show('pairFails');
    else if (type === 'offer' && server) begin(sdp).catch(() => show('pairFails'));
    else if (type === 'answer') end?.connection.setRemoteDescription({ type, sdp }).catch(() => {});
  }

  while (!isOver()) {
    const answer = await ask({ id, data: outbox.shift() ?? null, after });
    if (answer.peer && answer.peer !== peer) {
      peer = answer.peer;
      if (!server) outbox.push({ type: 'unable', from: id, to: peer });
      else if (id < peer) begin().catch(() => show('pairFails'));
    }
    for (const { n, data } of answer.messages) {
      after = Math.max(after, n);
      take(data ?? {});
    }
    if (!outbox.length) await sleep(POLL_MS);
  }
  end?.connection.close();
}
