// The status page: asks the server every two seconds, and shows what it says.
import { bandwidth, bytes, day, moment, number, span } from './format.js';
import { draw } from './graph.js';
import { currentLanguage, setLanguage, translate } from './language.js';
import { Table, describe, element, setText } from './tables.js';
import { text } from './words.js';

const POLL_MS = 2000;
const HISTORY_MS = 10_000;
const SOON_DAYS = 14;
const TOKEN = 'taciturn-token';

const by = (id) => document.getElementById(id);
const tables = {
  sessions: new Table(by('sessions')),
  tenants: new Table(by('tenants')),
  logins: new Table(by('logins')),
  peers: new Table(by('peers')),
  tests: new Table(by('tests')),
};

let overview = null;
let samples = [];
let historyAt = -Infinity;
let before = new Map(); // counters of each session, as of the poll before
let rates = new Map();

// --- The token: it comes after the "#", which no server and no proxy sees, and stays in this tab. ---

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (!given) return;
  sessionStorage.setItem(TOKEN, given);
  history.replaceState(null, '', location.pathname);
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers[TOKEN] = token;
  return fetch(path, { ...options, headers, cache: 'no-store', signal: AbortSignal.timeout(9000) });
}

// --- What is shown ---

const keyOf = (session) => `${session.tenant ?? ''} ${session.client} ${session.relayed_addresses.join()} ${session.user}`;

function measure({ now, sessions }) {
  const [measured, seen] = [new Map(), new Map()];
  for (const one of sessions) {
    const key = keyOf(one);
    const last = before.get(key);
    const seconds = last ? (now - last.now) / 1000 : Math.max(one.age_seconds, 1);
    const isSoon = last && seconds < 0.5;
    const rate = (field) => Math.max(0, one[field] - (last?.[field] ?? 0)) / seconds;
    measured.set(key, isSoon ? rates.get(key) : { peers: rate('bytes_to_peers'), clients: rate('bytes_to_clients') });
    seen.set(key, isSoon ? last : { ...one, now });
  }
  [before, rates] = [seen, measured];
}

// The user of a homeserver's credential, without the time that it ends.
const nameOf = (session) => session.user.replace(/^\d{9,}:(?=.)/, '');
// A tenant's user with its tenant, as turnctl writes it.
const userOf = (session) => (session.tenant ? `${session.tenant}/${nameOf(session)}` : nameOf(session));

function showSessions() {
  const wanted = by('filter').value.trim().toLowerCase();
  const matches = (one) => !wanted || `${one.tenant ?? ''}/${one.user} ${one.client} ${one.relayed_addresses}`.toLowerCase().includes(wanted);
  const rate = (one) => rates.get(keyOf(one)) ?? { peers: 0, clients: 0 };
  const all = overview.sessions.filter(matches);
  const total = (one) => rate(one).peers + rate(one).clients;
  all.sort((one, other) => total(other) - total(one) || (keyOf(one) < keyOf(other) ? -1 : 1));
  const columns = [
    [text('user'), userOf],
    [text('client'), (one) => one.client],
    [text('transport'), (one) => one.transport.toUpperCase()],
    [text('age'), (one) => span(one.age_seconds), true],
    [text('rateToClients'), (one) => bandwidth(rate(one).clients), true],
    [text('rateToPeers'), (one) => bandwidth(rate(one).peers), true],
    [text('relayed'), (one) => bytes(one.bytes_to_peers + one.bytes_to_clients), true],
  ];
  if (overview.may_act) columns.push([text('action'), endButton]);
  const empty = overview.sessions.length ? text('noMatch') : text('noSessions');
  tables.sessions.show(text('sessions'), columns, all, keyOf, empty);
  const counts = { shown: number(all.length), all: number(overview.status.allocations) };
  setText(by('sessions-count'), all.length === overview.status.allocations ? `(${counts.all})` : text('shown', counts));
  by('how-to-act').hidden = overview.may_act;
  by('make-link').hidden = !overview.may_act;
  setText(by('how-to-act'), text('howToAct'));
}

function showTenants() {
  const tenants = overview.status.tenants ?? [];
  by('tenants-section').hidden = !tenants.length;
  const used = ({ ipv4, ipv6 }) => number(Math.max(ipv4, ipv6));
  const ports = (one) => (one.relay_ports ? text('portsOf', { used: used(one.relay_ports_used), all: number(one.relay_ports) }) : '–');
  const columns = [
    [text('tenant'), (one) => one.name],
    [text('sessions'), (one) => number(one.allocations), true],
    [text('users'), (one) => number(one.users), true],
    [text('ownPorts'), ports, true],
    [text('relayed'), (one) => bytes(one.bytes_to_peers + one.bytes_to_clients), true],
  ];
  tables.tenants.show(text('tenants'), columns, tenants, (one) => one.name, text('none'));
}

function endButton(session) {
  const who = { user: userOf(session), client: session.client };
  return element('button', { type: 'button', class: 'danger', 'aria-label': text('endOf', who), onclick: () => end(who) }, text('end'));
}

async function end(who) {
  const dialog = by('confirm');
  setText(by('confirm-text'), text('endText', who));
  dialog.returnValue = 'no';
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  if (dialog.returnValue !== 'yes') return;
  const body = JSON.stringify({ client: who.client });
  const answer = await ask('api/kick', { method: 'POST', body }).catch(() => null);
  const said = answer?.ok ? text('ended', { n: (await answer.json()).kicked }) : text('endFailed');
  await poll();
  notice(said);
}

async function makeLink() {
  const answer = await ask('api/link', { method: 'POST' }).catch(() => null);
  const made = await answer?.json().catch(() => null);
  setText(by('link'), made?.url ?? made?.error ?? text('lost'));
}

function showTiles() {
  const { status } = overview;
  const used = [status.relay_ports_used.ipv4, status.relay_ports_used.ipv6];
  const ports = used[1] ? `IPv4 ${number(used[0])}, IPv6 ${number(used[1])}` : number(used[0]);
  const last = samples.at(-1);
  describe(by('tiles'), [
    [text('sessions'), number(status.allocations)],
    [text('users'), number(status.users)],
    [text('connections'), number(status.connections)],
    [text('ports'), text('portsOf', { used: ports, all: number(status.relay_ports) })],
    [text('rateToClients'), last ? bandwidth(last.bytes_to_clients) : '–'],
    [text('rateToPeers'), last ? bandwidth(last.bytes_to_peers) : '–'],
  ]);
}

function showGraphs() {
  const end = overview.now / 1000;
  const bits = { what: text('bandwidth'), clients: 'bytes_to_clients', peers: 'bytes_to_peers', show: bandwidth };
  draw(by('bandwidth'), samples, end, bits);
  const packets = { what: text('packets'), clients: 'packets_to_clients', peers: 'packets_to_peers', show: (n) => number(n, 1) };
  draw(by('packets'), samples, end, packets);
}

const ago = (seconds) => text('ago', { span: span(overview.now / 1000 - seconds) });

function showFailures() {
  const logins = [
    [text('user'), (one) => one.user],
    [text('client'), (one) => one.client],
    [text('transport'), (one) => one.transport.toUpperCase()],
    [text('reason'), (one) => one.reason],
    [text('times'), (one) => number(one.times), true],
    [text('last'), (one) => ago(one.last_at), true],
  ];
  const login = (one) => `${one.client.replace(/:\d+$/, '')} ${one.reason} ${one.user}`;
  tables.logins.show(text('failedLogins'), logins, overview.failed_logins, login, text('none'));
  const peers = [[text('rule'), (one) => one.rule], [text('times'), (one) => number(one.times), true]];
  tables.peers.show(text('refusedPeers'), peers, overview.refused_peers, (one) => one.rule, text('none'));
  const tests = [
    [text('client'), (one) => one.address],
    [text('result'), (one) => [one.verdict, ...one.advice].join(', ')],
    [text('when'), (one) => ago(one.at), true],
  ];
  tables.tests.show(text('tests'), tests, overview.tests, (one) => one.id, text('none'));
}

const badge = (kind, label) => element('span', { class: `badge ${kind}` }, label);

function showCertificates() {
  const items = overview.certificates.map((one) => {
    const kind = one.expired ? 'bad' : one.days_left < SOON_DAYS || one.renewal_failure ? 'warn' : 'good';
    const left = one.expired ? text('expired') : text('daysLeft', { n: number(one.days_left) });
    const lines = [
      element('p', {}, element('strong', {}, one.names.join(', ')), ' ', badge(kind, left), ` ${text('until', { date: day(one.expires_at) })}`),
      element('p', { class: 'hint' }, text('from', { path: one.path, listeners: one.listeners.join(', ') })),
    ];
    if (one.renewal_failure) lines.push(element('p', {}, text('renewalFailed', { why: one.renewal_failure })));
    for (const warning of one.warnings) lines.push(element('p', {}, badge('warn', text('warning')), ` ${warning}`));
    return element('li', {}, ...lines);
  });
  replace(by('certificates'), items.length ? element('ul', { class: 'plain' }, ...items) : element('p', {}, text('noCertificates')));
}

function showDoctor() {
  const { doctor } = overview;
  setText(by('doctor-at'), doctor ? `(${ago(doctor.at)})` : '');
  if (!doctor) return replace(by('doctor'), element('p', {}, text('doctorNever')));
  const count = (status) => doctor.findings.filter((one) => one.status === status).length;
  const counts = { fail: count('fail'), warn: count('warn'), pass: count('pass') };
  const bad = doctor.findings.filter((one) => one.status === 'fail' || one.status === 'warn');
  const items = bad.map((one) => {
    const kind = one.status === 'fail' ? badge('bad', text('failure')) : badge('warn', text('warning'));
    const lines = [element('p', {}, kind, ` ${one.title}`)];
    if (one.why) lines.push(element('p', { class: 'hint' }, one.why));
    if (one.fix) lines.push(element('pre', {}, one.fix));
    return element('li', {}, ...lines);
  });
  const summary = element('p', {}, text(bad.length ? 'doctorBad' : 'doctorGood', counts));
  replace(by('doctor'), element('div', {}, summary, element('ul', { class: 'plain' }, ...items)));
}

// Replaces the content only if it reads differently.
function replace(place, content) {
  if (place.textContent !== content.textContent || !place.firstChild) place.replaceChildren(content);
}

function showServer() {
  const { status } = overview;
  const reload = status.last_reload;
  const facts = [
    [text('version'), status.version],
    [text('started'), `${moment(status.started_at)} (${ago(status.started_at)})`],
    [text('workers'), number(status.workers)],
    [text('reload'), text(reload.succeeded ? 'reloadGood' : 'reloadBad', { date: moment(reload.finished_at) })],
    [text('total'), text('totalText', { clients: bytes(status.bytes_to_clients), peers: bytes(status.bytes_to_peers) })],
  ];
  for (const one of status.closing_listeners) facts.push([text('closing'), text('closingText', { ...one, n: number(one.clients) })]);
  const list = by('server');
  const rows = facts.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]);
  replace(list, rows.reduce((all, row) => (all.append(row), all), document.createDocumentFragment()));
}

function show() {
  const { status } = overview;
  setText(by('version'), status.version);
  const state = by('state');
  state.hidden = false;
  state.className = `badge ${status.ready ? 'good' : 'warn'}`;
  setText(state, text(status.ready ? 'ready' : 'draining'));
  showTiles();
  showSessions();
  showTenants();
  showFailures();
  showCertificates();
  showDoctor();
  showServer();
}

function notice(message) {
  by('connection').hidden = !message;
  setText(by('connection'), message);
}

function logIn(wrong) {
  by('login').hidden = false;
  by('content').hidden = true;
  notice(wrong ? text('wrongToken') : '');
}

function speak() {
  translate(text);
  document.title = `taciturn: ${text('title')}`;
  Object.values(tables).forEach((table) => table.forget());
}

// --- The rounds ---

async function poll() {
  const answer = await ask('api/overview').catch(() => null);
  if (answer?.status === 401) return logIn(sessionStorage.getItem(TOKEN) !== null);
  if (answer?.status === 403) return notice(text('otherSite'));
  if (!answer?.ok) return notice(text('lost'));
  const next = await answer.json().catch(() => null);
  if (!next) return notice(text('lost'));
  measure(next);
  overview = next;
  by('login').hidden = true;
  by('content').hidden = false;
  notice('');
  show();
  if (next.now - historyAt < HISTORY_MS) return;
  const past = await ask('api/history').catch(() => null);
  if (!past?.ok) return;
  [samples, historyAt] = [await past.json(), next.now];
  showTiles();
  showGraphs();
}

async function run() {
  for (;;) {
    // A tab that nobody sees asks nothing.
    if (!document.hidden) await poll();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

by('language').value = currentLanguage();
by('language').addEventListener('change', ({ target }) => {
  setLanguage(target.value);
  speak();
  if (!overview) return;
  show();
  showGraphs();
});
by('make-link').addEventListener('click', makeLink);
by('filter').addEventListener('input', () => overview && showSessions());
by('login').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, by('token').value.trim());
  by('token').value = '';
  poll();
});
document.addEventListener('visibilitychange', () => document.hidden || poll());
takeToken();
addEventListener('hashchange', takeToken);
speak();
run();
