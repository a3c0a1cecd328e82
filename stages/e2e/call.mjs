#!/usr/bin/env node
// call.mjs: one video call between two peers, each in its own network namespace, judged. The peers are
// Chromiums, unless told otherwise.
//
//   node call.mjs --server ADDRESS --namespaces A,B [options]
//
//   --expect relay          (default) both ends must select a relayed candidate of the server,
//                           decode video and have their data channel messages echoed
//            direct         the same without a relay
//            no-connection  the call must not come about
//   --expect-error CODE     with no-connection: the server must have refused with that STUN error
//   --expect-reflexive      with no-connection: STUN must have worked all the same
//   --user NAME --password PASSWORD   static credentials
//   --user NAME --secret SECRET       credentials of the REST scheme, made here
//   --relayed-at ADDRESS,...          where the relayed addresses are (default: at the server)
//   --host NAME             how the URIs call the server (default: its address)
//   --peers A,B             COMMAND of another peer (peers/README.md), or `chromium`
//   --during COMMAND --times N        runs COMMAND so often while the call runs: media must go on after each time, on
//                                     the same pair of candidates
//   --data-only             no video and audio: the data channel alone
//   --transport udp|tcp|tls|dtls|none how to reach the TURN server; `none`: STUN only, no TURN;
//                                     `guide`: the four URIs of the usual guide for coturn
//   --transport-b ...                 where B differs
//   --policy relay|all      iceTransportPolicy (default relay)
//   --port N --tls-port N   (default 3478, 5349)
//   --ca FILE               makes the browsers trust this certificate authority
//   --json FILE             writes what was seen there (`-`: standard output)
//
// Prints what was seen and exits with 0 where it is what was expected.
import { execFile } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';

import { PeerProcess } from './peer-process.mjs';

const CONNECT_LIMIT_MS = 20_000;
const NO_CONNECTION_MS = 10_000; // how long a call that must fail may try
const MEDIA_LIMIT_MS = 15_000;
const WHOLE_LIMIT_MS = 90_000;
const WANTED_FRAMES = 30; // two seconds of video
const PINGS = 20;
const GOES_ON_LIMIT_MS = 5_000; // how long after the command of --during until there are new frames
const NEW_FRAMES = 8;

const text = { type: 'string' };
const { values: options } = parseArgs({
  options: {
    server: text,
    namespaces: text,
    expect: { type: 'string', default: 'relay' },
    'expect-error': text,
    'expect-reflexive': { type: 'boolean' },
    user: text,
    password: text,
    secret: text,
    transport: { type: 'string', default: 'udp' },
    'transport-b': text,
    host: text,
    'relayed-at': text,
    peers: { type: 'string', default: 'chromium,chromium' },
    during: text,
    times: { type: 'string', default: '1' },
    'data-only': { type: 'boolean' },
    policy: { type: 'string', default: 'relay' },
    port: { type: 'string', default: '3478' },
    'tls-port': { type: 'string', default: '5349' },
    ca: text,
    json: text,
  },
});

// The REST scheme: the name starts with its expiry, the password is an HMAC of the name.
function credentials() {
  if (!options.secret) return { username: options.user, credential: options.password };
  const username = `${Math.floor(Date.now() / 1000) + 3600}:${options.user}`;
  const credential = crypto.createHmac('sha1', options.secret).update(username).digest('base64');
  return { username, credential };
}

function iceServers(transport) {
  const { port } = options;
  const server = options.host ?? options.server;
  switch (transport) {
    case 'none':
      return [{ urls: `stun:${server}:${port}` }];
    case 'tls':
      return [{ urls: `turns:${server}:${options['tls-port']}?transport=tcp`, ...credentials() }];
    case 'guide': {
      const urls = ['tcp', 'udp'].map((one) => `turns:${server}:${options['tls-port']}?transport=${one}`);
      urls.push(...['tcp', 'udp'].map((one) => `turn:${server}:${port}?transport=${one}`));
      return [{ urls, ...credentials() }];
    }
    case 'dtls':
      return [{ urls: `turns:${server}:${options['tls-port']}?transport=udp`, ...credentials() }];
    default:
      return [{ urls: `turn:${server}:${port}?transport=${transport}`, ...credentials() }];
  }
}

async function negotiate(a, b) {
  const { policy, transport } = options;
  await a.call('start', { policy, iceServers: iceServers(transport) });
  await b.call('start', { policy, iceServers: iceServers(options['transport-b'] ?? transport) });
  if (!options['data-only']) await Promise.all([a.call('addCamera'), b.call('addCamera')]);
  const answer = await b.call('makeAnswer', await a.call('makeOffer'));
  await a.call('takeAnswer', answer);
}

// Carries candidates between the two until they are connected. The milliseconds it took, or null.
async function connect(a, b) {
  const started = Date.now();
  const limit = options.expect === 'no-connection' ? NO_CONNECTION_MS : CONNECT_LIMIT_MS;
  while (Date.now() - started < limit) {
    const [ofA, ofB] = await Promise.all([a.call('progress'), b.call('progress')]);
    await Promise.all([b.call('addCandidates', ofA.candidates), a.call('addCandidates', ofB.candidates)]);
    const both = [ofA, ofB];
    if (both.every((one) => one.state === 'connected')) return Date.now() - started;
    if (both.some((one) => one.state === 'failed')) return null;
    // Without any candidate there is nothing to wait for.
    if (both.every((one) => one.gathering === 'complete' && one.gathered === 0)) return null;
    await sleep(20);
  }
  return null;
}

// Waits until media and echoes flowed both ways; where they do not, the verdict will say what lacks.
async function exchange(a, b) {
  const deadline = Date.now() + MEDIA_LIMIT_MS;
  let pinged = false;
  while (Date.now() < deadline) {
    const reports = await reportsOf(a, b);
    const seen = (frames) => options['data-only'] || reports.every((one) => one.videoFramesDecoded >= frames);
    if (seen(WANTED_FRAMES) && reports.every((one) => one.echoesReceived >= PINGS)) return;
    if (!pinged && seen(1)) {
      await Promise.all([a.call('ping', PINGS), b.call('ping', PINGS)]);
      // Without video nothing tells when the channel is open at both ends: until then, once more.
      pinged = !options['data-only'];
    }
    await sleep(100);
  }
}

const reportsOf = (a, b) => Promise.all([a.call('report'), b.call('report')]);

// Whether new frames and new audio come at both ends.
async function goesOn(a, b) {
  const before = await reportsOf(a, b);
  const deadline = Date.now() + GOES_ON_LIMIT_MS;
  while (Date.now() < deadline) {
    const now = await reportsOf(a, b);
    const moves = (one, at) =>
      one.videoFramesDecoded >= before[at].videoFramesDecoded + NEW_FRAMES &&
      one.audioPacketsReceived > before[at].audioPacketsReceived;
    if (now.every(moves)) return true;
    await sleep(50);
  }
  return false;
}

// Runs the command of --during again and again. What was not as it should be.
async function interrupt(a, b) {
  const [command, ...words] = options.during.split(' ');
  const way = ({ pair }) => JSON.stringify([pair?.local, pair?.remote]);
  const before = await reportsOf(a, b);
  const list = [];
  for (let count = 1; count <= Number(options.times); count++) {
    await promisify(execFile)(command, words);
    if (!(await goesOn(a, b))) list.push(`no media after "${options.during}", time ${count}`);
  }
  const after = await reportsOf(a, b);
  for (const at of [0, 1]) {
    if (way(after[at]) !== way(before[at])) list.push(`another pair: ${way(before[at])}, then ${way(after[at])}`);
    if (after[at].state !== 'connected') list.push(`${after[at].state} at the end`);
    const lost = (kind) => after[at][`${kind}PacketsLost`] - before[at][`${kind}PacketsLost`];
    console.log(`${'AB'[at]}: lost ${lost('video')} packets of video and ${lost('audio')} of audio in ${options.times} times`);
  }
  return list;
}

// The ways in which one end disappoints.
function complaints(name, end) {
  const list = [];
  const { pair, candidates, candidateErrors } = end;
  const must = (met, what) => met || list.push(`${name}: ${what}`);
  if (options.expect === 'no-connection') {
    const code = Number(options['expect-error']);
    if (code) must(candidateErrors.some((one) => one.errorCode === code), `no STUN error ${code}`);
    if (options['expect-reflexive']) must(candidates.some((one) => one.type === 'srflx'), 'STUN gave no address');
    return list;
  }
  const relayed = pair?.local.candidateType === 'relay';
  if (options.expect === 'relay') {
    must(relayed, 'the selected local candidate is no relayed one');
    const places = (options['relayed-at'] ?? options.server).split(',');
    must(places.includes(pair?.local.address), `the relayed address is not at ${places.join(' or ')}`);
  } else {
    must(pair && !relayed && pair.remote.candidateType !== 'relay', 'the call is relayed');
  }
  if (!options['data-only']) {
    must(end.videoFramesDecoded >= WANTED_FRAMES, `only ${end.videoFramesDecoded} video frames decoded`);
    must(end.audioPacketsReceived > 0, 'no audio received');
  }
  must(end.echoesReceived >= PINGS, `only ${end.echoesReceived} of ${PINGS} messages echoed`);
  return list;
}

function verdict(result) {
  const wantsConnection = options.expect !== 'no-connection';
  const list = [];
  if (wantsConnection !== (result.connectedAfterMs !== null)) {
    list.push(wantsConnection ? 'the call did not connect' : 'the call connected');
  }
  return [...list, ...result.interruptions, ...complaints('A', result.a), ...complaints('B', result.b)];
}

function describe(name, end) {
  const side = (one) => `${one.candidateType} ${one.address}:${one.port}`;
  const way = end.pair ? `${side(end.pair.local)} -> ${side(end.pair.remote)}` : 'no pair selected';
  const errors = end.candidateErrors.map((one) => `${one.errorCode} ${one.errorText}`);
  return (
    `${name}: ${end.state}, ${way}, ${end.videoFramesDecoded} frames, ` +
    `${end.audioPacketsReceived} audio packets, ${end.echoesReceived} echoes, ` +
    `${end.candidates.length} candidates, errors: ${errors.join('; ') || 'none'}`
  );
}

async function call(a, b) {
  const versions = await Promise.all([a.ready, b.ready]);
  await negotiate(a, b);
  const connectedAfterMs = await connect(a, b);
  if (connectedAfterMs !== null) await exchange(a, b);
  const interruptions = connectedAfterMs !== null && options.during ? await interrupt(a, b) : [];
  const [ofA, ofB] = await reportsOf(a, b);
  return { versions, connectedAfterMs, interruptions, a: ofA, b: ofB };
}

function show(result) {
  console.log(result.connectedAfterMs === null ? 'not connected' : `connected after ${result.connectedAfterMs} ms`);
  console.log(describe('A', result.a));
  console.log(describe('B', result.b));
  for (const line of result.complaints) console.log(`NOT MET: ${line}`);
  if (!options.json) return;
  const json = `${JSON.stringify(result, null, 2)}\n`;
  if (options.json === '-') process.stdout.write(json);
  else fs.writeFileSync(options.json, json);
}

async function main() {
  const [inA, inB] = (options.namespaces ?? '').split(',');
  // Browsers do not read it; all others do.
  if (options.ca) process.env.SSL_CERT_FILE = options.ca;
  const [programA, programB] = options.peers.split(',').map((one) => (one === 'chromium' ? undefined : one.split(' ')));
  const a = new PeerProcess('A', inA, { ca: options.ca }, programA);
  const b = new PeerProcess('B', inB, { ca: options.ca }, programB);
  const quit = () => Promise.all([a.quit(), b.quit()]);
  const giveUp = setTimeout(async () => {
    console.log(`NOT MET: the whole test took longer than ${WHOLE_LIMIT_MS / 1000} s`);
    await quit();
    process.exit(1);
  }, WHOLE_LIMIT_MS);
  try {
    const result = await call(a, b);
    result.complaints = verdict(result);
    show(result);
    process.exitCode = result.complaints.length ? 1 : 0;
  } catch (error) {
    console.log(`NOT MET: ${error.stack}`);
    process.exitCode = 1;
  } finally {
    await quit();
    clearTimeout(giveUp);
  }
}

await main();
