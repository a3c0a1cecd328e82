#!/usr/bin/env node
// killed-node.mjs --namespaces A,B --servers URI,.../URI,... --nodes ADDRESS=PID,... [options] --user NAME --password PASSWORD
//
// A video call of two browsers, relayed at both ends, under which the server is killed that A's relayed address is of. An end
// that has trouble restarts ICE, and media have to go on.
//
//   --servers   what A has in iceServers, a slash, what B has
//   --nodes     the process of each server
//   --through A,B        where the relayed addresses of both ends must be before; `any` by default. With another A,B after a
//                        slash, a second server is killed when media are back
//   --between FILE       made when media are back after the first. The second is killed when the file is gone
//   --restarted          ICE must have been restarted after the last
//   --browsers A,B       chromium (default) or firefox
//   --patience SECONDS   how long an end is disconnected before it restarts ICE (2)
//   --limit SECONDS      in which media must be back at both ends (15)
//
// Prints what each end saw, in milliseconds after the kill. Exit status 1 where something is not as it must be.
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { PeerProcess } from '../e2e/peer-process.mjs';

const CONNECT_LIMIT_MS = 20_000;
const SETTLE_LIMIT_MS = 10_000;
const POLL_MS = 20;
const BETWEEN_LIMIT_MS = 30_000;
const FRAMES_BEFORE = 30;
const FRAMES_AFTER = 30;
// How long what is not back in time is watched, to say when it is.
const PATIENCE_MS = 45_000;
// Media stop within so long of the kill.
const STOPS_MS = 1_500;

const text = { type: 'string' };
const { values: options } = parseArgs({
  options: {
    namespaces: text,
    servers: text,
    nodes: text,
    through: { type: 'string', default: 'any' },
    between: text,
    restarted: { type: 'boolean' },
    user: text,
    password: text,
    browsers: { type: 'string', default: 'chromium,chromium' },
    patience: { type: 'string', default: '2' },
    limit: { type: 'string', default: '15' },
  },
});

const reportsOf = (ends) => Promise.all(ends.map((end) => end.call('report')));

async function negotiate(from, to) {
  const answer = await to.call('makeAnswer', await from.call('makeOffer'));
  await from.call('takeAnswer', answer);
}

// What a signalling server does: candidates go to the other end, and an offer of the end that needs one. Offers go one
// after another, so that none meets another.
async function signal(ends) {
  const seen = await Promise.all(ends.map((end) => end.call('progress')));
  await Promise.all(ends.map((end, at) => end.call('addCandidates', seen[1 - at].candidates)));
  for (const at of [0, 1]) if (seen[at].offerNeeded) await negotiate(ends[at], ends[1 - at]);
  return seen;
}

// Signals until `met`, which is given what both ends report; null after so long.
async function until(ends, limit, met) {
  const deadline = Date.now() + limit;
  while (Date.now() < deadline) {
    const progress = await signal(ends);
    const reports = await reportsOf(ends);
    if (met(reports, progress)) return reports;
    await sleep(POLL_MS);
  }
  return null;
}

async function begin(ends) {
  const servers = options.servers.split('/').map((one) => one.split(','));
  const { user: username, password: credential } = options;
  for (const at of [0, 1]) {
    await ends[at].call('start', { policy: 'relay', iceServers: [{ urls: servers[at], username, credential }] });
  }
  await Promise.all(ends.map((end) => end.call('addCamera')));
  await negotiate(ends[0], ends[1]);
  const connected = await until(ends, CONNECT_LIMIT_MS, (_, seen) => seen.every((one) => one.state === 'connected'));
  if (!connected) throw new Error('the call did not connect');
  await Promise.all(ends.map((end) => end.call('restartOnTrouble', Number(options.patience) * 1000)));
  await Promise.all(ends.map((end) => end.call('watchMedia')));
}

const where = ({ pair }) => `${pair?.local.address} -> ${pair?.remote.address}`;

// Waits until ICE has chosen this pair, at both ends: it may try others before. Returns A's relayed address.
async function settled(ends, way) {
  const [a, b] = way.split(',');
  const fits = ({ pair }, local, remote) => pair?.local.address === local && pair?.remote.address === remote;
  const agreed = ([one, other]) => one.pair && fits(other, one.pair.remote.address, one.pair.local.address);
  const reached = await until(ends, SETTLE_LIMIT_MS, (reports) =>
    reports.every((one) => one.videoFramesDecoded >= FRAMES_BEFORE) &&
    (way === 'any' ? agreed(reports) : fits(reports[0], a, b) && fits(reports[1], b, a)),
  );
  if (reached) return reached[0].pair.local.address;
  const reports = await reportsOf(ends);
  throw new Error(`the call goes ${reports.map(where).join(' and ')}; expected: ${way}`);
}

// When packets that the kill has stopped came again: of video and audio, the later one, in milliseconds after the kill.
// Frames follow with the next picture that is whole.
function backAfter({ events }, killed) {
  const times = ['video', 'audio'].map((kind) =>
    events.find((one) => one.what === `${kind} again` && one.at > killed && Math.abs(one.since - killed) < STOPS_MS),
  );
  return times.every(Boolean) ? Math.max(...times.map((one) => one.at)) - killed : null;
}

function show(name, report, killed) {
  const told = report.events.filter((one) => one.at >= killed).map((one) => `${one.what} ${one.at - killed}`);
  console.log(`${name}: ${told.join(', ') || 'nothing'}; ${where(report)}`);
}

// Kills a server under a call that goes this way. What was not as it must be.
async function kill(pids, way, ends) {
  const address = await settled(ends, way);
  const killed = Date.now();
  process.kill(Number(pids[address]), 'SIGKILL');
  const back = await until(ends, PATIENCE_MS, (reports) => reports.every((one) => backAfter(one, killed) !== null));
  const goesOn = back && (await until(ends, SETTLE_LIMIT_MS, (reports) =>
    reports.every((one, at) => one.videoFramesDecoded >= back[at].videoFramesDecoded + FRAMES_AFTER),
  ));
  const last = goesOn ?? (await reportsOf(ends));
  last.forEach((one, at) => show('AB'[at], one, killed));
  const times = last.map((one) => backAfter(one, killed));
  console.log(`media are back ${times.map((ms) => (ms === null ? 'never' : `after ${ms} ms`)).join(' and ')}`);
  const complaints = [];
  if (times.some((ms) => ms === null || ms >= Number(options.limit) * 1000)) {
    complaints.push(`media are back at both ends in ${options.limit} s`);
  }
  if (!goesOn) complaints.push('media go on');
  const restarted = last.some(({ events }) => events.some((one) => one.what === 'restart' && one.at > killed));
  return { complaints, restarted };
}

// Until somebody else has removed it.
async function leave(file) {
  fs.writeFileSync(file, '');
  const deadline = Date.now() + BETWEEN_LIMIT_MS;
  while (fs.existsSync(file)) {
    if (Date.now() > deadline) throw new Error(`nobody has removed ${file}`);
    await sleep(POLL_MS);
  }
}

async function run(ends) {
  console.log((await Promise.all(ends.map((end) => end.ready))).join(' and '));
  await begin(ends);
  const pids = Object.fromEntries(options.nodes.split(',').map((one) => one.split('=')));
  const complaints = [];
  let restarted;
  for (const [at, way] of options.through.split('/').entries()) {
    if (at > 0) await leave(options.between);
    const result = await kill(pids, way, ends);
    complaints.push(...result.complaints);
    restarted = result.restarted;
  }
  if (options.restarted && !restarted) complaints.push('ICE was restarted after the last');
  return complaints;
}

async function main() {
  const namespaces = options.namespaces.split(',');
  const ends = options.browsers.split(',').map((browser, at) => new PeerProcess('AB'[at], namespaces[at], { browser }));
  try {
    const complaints = await run(ends);
    for (const one of complaints) console.log(`NOT MET: ${one}`);
    process.exitCode = complaints.length ? 1 : 0;
  } catch (error) {
    console.log(`NOT MET: ${error.stack}`);
    process.exitCode = 1;
  } finally {
    await Promise.all(ends.map((end) => end.quit()));
  }
}

await main();
