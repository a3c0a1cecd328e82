// Sends packets through the relay. What came through counts, never errors: 701 beside a way that works is normal.
const CANDIDATE_MS = 10_000;
const CONNECT_MS = 8000;
const LAST_MS = 1000;
const EVERY_MS = 20;
const PACKETS = 50;
const BYTES = 1000;
const OTHER_FAMILY = 600; // an IPv6 address on an IPv4 network, or the other way round
const NOTHING_CAME = 701;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
// What all of them come to; nothing if that takes too long.
export const within = (ms, ...all) => Promise.race([Promise.all(all), sleep(ms)]);

// One end of a call.
export class End {
  code = null;
  text = '';
  candidateMs = null;
  came = new Set(); // packets of the other end
  #sentAt = new Map();
  #times = [];

  constructor(server, onCandidate = () => {}) {
    const began = performance.now();
    const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' });
    this.connection = connection;
    // Negotiated: both ends make it themselves. What is lost stays lost, as in a call.
    this.channel = connection.createDataChannel('test', { negotiated: true, id: 0, ordered: false, maxRetransmits: 0 });
    this.channel.onmessage = ({ data }) => this.#take(data);
    this.opened = new Promise((resolve) => (this.channel.onopen = resolve));
    this.gathered = new Promise((resolve) => {
      connection.onicegatheringstatechange = () => connection.iceGatheringState === 'complete' && resolve();
    });
    this.ready = new Promise((resolve) => {
      connection.onicecandidate = ({ candidate }) => {
        if (!candidate?.candidate) return;
        this.candidateMs ??= Math.round(performance.now() - began);
        resolve();
        onCandidate(candidate);
      };
      this.gathered.then(resolve);
    });
    connection.onicecandidateerror = ({ errorCode, errorText }) => {
      // What the server said tells more than that nothing came.
      if (errorCode === OTHER_FAMILY || (errorCode === NOTHING_CAME && this.code < NOTHING_CAME && this.code)) return;
      this.code = errorCode;
      this.text = String(errorText).slice(0, 120);
    };
  }

  #take(data) {
    const seq = parseInt(data.slice(1), 10);
    if (data[0] === 'e') {
      this.#times.push(performance.now() - this.#sentAt.get(seq));
    } else if (seq < PACKETS && this.channel.readyState === 'open') {
      this.came.add(seq);
      this.channel.send(`e${seq}`);
    }
  }

  async send() {
    const began = performance.now();
    for (let seq = 0; seq < PACKETS && this.channel.readyState === 'open'; seq += 1) {
      await sleep(began + seq * EVERY_MS - performance.now());
      this.#sentAt.set(seq, performance.now());
      this.channel.send(`p${seq} `.padEnd(BYTES, '.'));
    }
    for (let waited = 0; waited < LAST_MS && this.#times.length < PACKETS; waited += EVERY_MS) await sleep(EVERY_MS);
    const rtt = this.#times.sort((one, other) => one - other)[this.#times.length >> 1] ?? null;
    return { sent: PACKETS, rtt_ms: rtt };
  }
}

// Tries a server with one URI, between two connections of this page. As what these send does not leave the server, a third
// one, without a relay, knocks at the relay's port from here: the server sees whether that arrives.
export async function tryAlone(server) {
  const result = { uri: server.urls, candidate_ms: null, text: '', sent: 0, received: 0, rtt_ms: null };
  const ends = [];
  const outside = new RTCPeerConnection();
  let meet;
  const met = new Promise((resolve) => (meet = resolve));
  const handTo = (...others) => (candidate) =>
    met.then(() => others.forEach((other) => (ends[other]?.connection ?? outside).addIceCandidate(candidate).catch(() => {})));
  try {
    ends.push(new End(server, handTo(1, 2)), new End(server, handTo(0)));
    const [a, b] = ends.map((end) => end.connection);
    await a.setLocalDescription(await a.createOffer());
    for (const other of [outside, b]) {
      await other.setRemoteDescription(a.localDescription);
      await other.setLocalDescription(await other.createAnswer());
    }
    await a.setRemoteDescription(b.localDescription);
    meet();
    await within(CANDIDATE_MS, ends[0].ready, ends[1].ready);
    if (ends.every((end) => end.candidateMs !== null)) {
      result.candidate_ms = ends[0].candidateMs;
      const isOpen = await within(CONNECT_MS, ends[0].opened, ends[1].opened);
      if (isOpen) Object.assign(result, await ends[0].send(), { received: ends[1].came.size });
      result.knocked = [...(await outside.getStats()).values()].some(({ type }) => type === 'candidate-pair');
    }
  } catch (error) {
    result.text = String(error).slice(0, 120); // the browser does not take this URI at all
  }
  // A failed lookup of one address family is no answer while the browser still tries the other.
  const gaveUp = ends.filter((end) => end.code && (end.code !== NOTHING_CAME || end.connection.iceGatheringState === 'complete'));
  const { code = null, text = result.text } = gaveUp.sort((one, other) => one.code - other.code)[0] ?? {};
  for (const one of [outside, ...ends.map((end) => end.connection)]) one.close();
  return { ...result, code, text };
}
