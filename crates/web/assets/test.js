// The test page: tries each way to the server, and says what the server makes of it.
import { number } from './format.js';
import { currentLanguage, translate } from './language.js';
import { Table, element, setText } from './tables.js';
import { sleep, tryAlone } from './test-measure.js';
import { meet } from './test-pair.js';
import { helpFor, reasonsFor, resultOf, text } from './test-words.js';

const ANSWER_MS = 9000;
const PROBLEMS = { 410: 'ended', 429: 'busy' };
const SAY_ALL = ['ended', 'busy', 'lost'];
const WORSE = ['udp-blocked', 'only-443', 'relay-blocked', 'pair-failed', 'lossy', 'slow'];

const by = (id) => document.getElementById(id);
const table = new Table(by('ways'));
let state; // of the test that runs, or the last one

async function ask(path, body, tries = 3) {
  const headers = { 'content-type': 'application/json' };
  // Not every browser has such a signal.
  const options = { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout?.(ANSWER_MS) };
  const answer = await fetch(path, options).catch(() => null);
  const content = await answer?.json().catch(() => null);
  if (answer?.ok && content) return content;
  if (answer?.status in PROBLEMS) throw PROBLEMS[answer.status];
  if (tries === 1) throw 'lost';
  await sleep(2000);
  return ask(path, body, tries - 1);
}

const loss = ({ sent, received }) => (sent ? `${number(((sent - received) / sent) * 100)}\u00a0%` : '–');
const milliseconds = (n) => (n === null ? '–' : text('ms', { n: number(n) }));

function wayOf({ uri }) {
  const [, scheme, port] = /^(turns?):(?:\[.*\]|[^:?]*):?(\d*)/.exec(uri) ?? [];
  const isTls = scheme === 'turns';
  const kind = isTls ? 'TLS' : /=tcp/.test(uri) ? 'TCP' : 'UDP';
  return `${kind} ${port || (isTls ? 5349 : 3478)}`;
}

const verdictOf = ({ uri, received }) =>
  state.report?.uris.find((one) => one.uri === uri)?.verdict ?? (received ? 'ok' : 'no-answer');

const columns = () => [
  [text('way'), wayOf],
  [text('result'), (one) => resultOf(verdictOf(one))],
  [text('found'), (one) => milliseconds(one.candidate_ms), true],
  [text('rtt'), (one) => milliseconds(one.rtt_ms), true],
  [text('loss'), loss, true],
];

// The weightiest first. What is blocked beside a way that works is in the table.
function findings({ problem, report }) {
  if (problem) return [problem];
  const more = report.advice.filter((one) => !one.endsWith('-blocked'));
  return report.verdict === 'ok' && more.length ? more : [report.verdict, ...more];
}

// The big words, and their colour.
function headline(found, works) {
  if (SAY_ALL.includes(found[0])) return [reasonsFor(found)[0], 'bad'];
  if (!works || found[0] === 'secret-changed') return [text('fails'), 'bad'];
  if (found.some((one) => WORSE.includes(one))) return [text('limited'), 'warn'];
  return [text('works'), found[0] === 'ok' ? 'good' : 'warn'];
}

// Only if it reads differently, as it is read out then.
function fill(node, name, all) {
  if (node.textContent !== all.join('')) node.replaceChildren(...all.map((one) => element(name, {}, one)));
}

function show() {
  const { isRunning, done, all, ways, id, report, pair } = state;
  const found = isRunning ? [] : findings(state);
  const [words, kind] = isRunning ? [text('testing'), ''] : headline(found, ways.some((one) => verdictOf(one) === 'ok'));
  by('verdict').className = kind;
  setText(by('headline'), words);
  fill(by('reasons'), 'p', reasonsFor(found).filter((one) => one !== words));
  by('running').hidden = !isRunning;
  by('progress').value = (done + 0.1) / (all + 0.1);
  by('help').hidden = isRunning;
  fill(by('help').lastElementChild, 'li', helpFor(found));
  by('again').hidden = isRunning || found[0] === 'ended';
  by('pair').hidden = !pair;
  fill(by('pair-state'), 'p', pair ?? []);
  by('details').hidden = isRunning || !ways.length;
  table.show(text('details'), columns(), ways, ({ uri }) => uri, '');
  setText(by('facts'), text('facts', { id, verdict: found.join(', '), address: report?.seen.address ?? '–' }));
}

async function test() {
  const mine = (state = { isRunning: true, ways: [], done: 0, all: 1 });
  const change = (changes) => {
    Object.assign(mine, changes);
    if (mine === state) show();
  };
  show();
  try {
    const { id, uris, username, credential, lifetime, people } = await ask('begin', {});
    const ends = performance.now() + lifetime * 1000;
    change({ id, all: uris.length });
    const ways = [];
    const cannot = window.RTCPeerConnection ? undefined : 'no-webrtc';
    for (const uri of cannot ? [] : uris) {
      ways.push(await tryAlone({ urls: uri, username, credential }));
      change({ done: ways.length });
    }
    change({ ways });
    const [best] = ways.filter((one) => one.received).sort((one, other) => other.received - one.received);
    const tell = async (pair) => {
      const report = await ask('report', { id, language: currentLanguage(), uris: ways, pair, cannot });
      change({ report, isRunning: false });
    };
    await tell(null).catch((problem) => {
      throw best ? 'untold' : problem;
    });
    if (people < 2) return;
    const figures = (one) => `${text('rtt')}: ${milliseconds(one.rtt_ms)}. ${text('loss')}: ${loss(one)}.`;
    const pair = (key, one) => best && change({ pair: [text(key), one?.sent ? figures(one) : ''] });
    pair('pairWait');
    await meet({
      id,
      server: best && { urls: best.uri, username, credential },
      ask: (body) => ask('signal', body),
      isOver: () => mine !== state || performance.now() > ends,
      show(key, measured) {
        pair(key, measured);
        if (measured) tell(measured).catch(() => {});
      },
    });
  } catch (problem) {
    // With a report, only the wait for the other person has failed.
    change(mine.report ? { pair: null } : { problem: typeof problem === 'string' ? problem : 'lost', isRunning: false });
  }
}

translate(text);
by('again').addEventListener('click', () => {
  by('headline').focus();
  test();
});
test();
