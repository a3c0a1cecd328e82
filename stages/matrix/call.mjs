#!/usr/bin/env node
// call.mjs: alice calls bob, with matrix-js-sdk in two browsers and through their homeserver; judged.
//
//   node call.mjs --client FILE --homeserver URL --namespaces A,B --relay ADDRESS [options]
//
//   --client FILE           client.js, bundled
//   --relay ADDRESS         the relayed addresses must be this one
//   --expect call           (default) the call comes about, is relayed, and both decode video
//            no-call        it must not come about
//   --expect-error CODE     with no-call: the relay must have refused with that STUN error
//   --expect-reflexive      with no-call: STUN must have worked all the same
//   --transports A,B        which way alice and bob must have reached the relay: udp, tcp or tls
//   --browsers A,B          chromium (default) or firefox
//   --policy relay|all      whether the clients may try paths without the relay (default relay)
//   --relayed both|alice    who uses the relay (default both); the other may try every path, with STUN
//   --round-trip MS         the selected path must have at least that round trip
//   --limit SECONDS         until both must decode video (default 30)
//   --event COMMAND         run while media flow; the call must go on afterwards
//   --moves                 after it, alice must have another relayed address
//   --lossy                 after it, packets must have been lost
//   --call-again            calls once more after it, with credentials asked for again
//   --afterwards COMMAND    hangs up and runs it, while the browsers are still there; it must succeed
//   --ca FILE               makes the browsers trust this certificate authority
//   --json FILE             writes what was seen there
//
// Prints what was seen and exits with 0 where it is what was expected.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { PeerProcess } from '../e2e/peer-process.mjs';

const NO_CALL_MS = 10_000; // how long a call that must fail may try
const RESUME_LIMIT_MS = 45_000; // until both decode video again after an event
const WHOLE_LIMIT_MS = 180_000;
const WANTED_FRAMES = 45; // two to three seconds of video
const SAMPLE_MS = 100;

const text = { type: 'string' };
const { values: options } = parseArgs({
  options: {
    client: text,
    homeserver: text,
    namespaces: text,
    relay: text,
    expect: { type: 'string', default: 'call' },
    'expect-error': text,
    'expect-reflexive': { type: 'boolean' },
    transports: text,
    browsers: { type: 'string', default: 'chromium,chromium' },
    policy: { type: 'string', default: 'relay' },
    relayed: { type: 'string', default: 'both' },
    'round-trip': text,
    limit: { type: 'string', default: '30' },
    event: text,
    moves: { type: 'boolean' },
    lossy: { type: 'boolean' },
    'call-again': { type: 'boolean' },
    afterwards: text,
    ca: text,
    json: text,
  },
});

const wanted = options.transports?.split(',') ?? [];
const both = async (people, name, ...values) => Promise.all(people.map((one) => one.call(name, ...values)));

async function logIn(alice, bob) {
  const how = { homeserver: options.homeserver, relayOnly: options.policy === 'relay' };
  const [, ofBob] = await Promise.all([
    alice.call('logIn', { ...how, user: 'alice' }),
    bob.call('logIn', { ...how, user: 'bob', stunOnly: options.relayed === 'alice' }),
  ]);
  return alice.call('makeRoom', ofBob.userId);
}

// Until both have decoded `frames` more frames than `before`, or the time is over.
async function decoded(people, frames, limit, before = [0, 0]) {
  const deadline = Date.now() + limit;
  for (;;) {
    const reports = await both(people, 'report');
    const enough = reports.every((one, i) => one.framesDecoded - before[i] >= frames && one.firstFrameAt);
    if (enough || Date.now() > deadline) return { enough, reports };
    if (options.expect === 'no-call' && reports.every((one) => one.state === 'ended')) return { enough, reports };
    await sleep(SAMPLE_MS);
  }
}

async function call(alice, bob, room) {
  const people = [alice, bob];
  await Promise.all([alice.call('place', room), bob.call('answer')]);
  if (options.expect === 'no-call') return (await decoded(people, 1, NO_CALL_MS)).reports;
  return (await decoded(people, WANTED_FRAMES, options.limit * 1000)).reports;
}

// Something happens while the call runs. What counts is what comes afterwards.
async function happening(people) {
  await both(people, 'forgetGap');
  const started = Date.now();
  execFileSync('bash', ['-c', options.event], { stdio: 'inherit' });
  const took = Date.now() - started;
  const before = (await both(people, 'report')).map((one) => one.framesDecoded);
  const { enough, reports } = await decoded(people, WANTED_FRAMES, RESUME_LIMIT_MS, before);
  return { wentOn: enough, tookMs: took, reports };
}

async function hangUp(alice, bob) {
  await alice.call('hangUp');
  await bob.call('ended');
}

// --- The verdict ----------------------------------------------------------------------------

function complaintsAboutEnd(name, end, transport) {
  const list = [];
  const must = (met, what) => met || list.push(`${name}: ${what}`);
  const { pair } = end;
  const minimum = Number(options['round-trip'] ?? 0);
  must(!minimum || pair?.roundTripMs >= minimum, `the round trip is ${pair?.roundTripMs} ms, less than ${minimum} ms`);
  must(end.framesDecoded >= WANTED_FRAMES, `only ${end.framesDecoded} video frames decoded`);
  must(end.audioPackets > 0, 'no audio received');
  if (name.startsWith('bob') && options.relayed === 'alice') {
    must(pair?.local.candidateType !== 'relay', 'is relayed as well');
    must(pair?.remote.candidateType === 'relay', 'the other is not relayed');
    return list;
  }
  must(pair?.local.candidateType === 'relay', 'the selected local candidate is no relayed one');
  must(pair?.local.address === options.relay, `the relayed address is not ${options.relay}`);
  if (options.policy === 'relay') must(end.policy === 'relay', 'the client does not insist on the relay');
  if (transport) {
    const used = pair?.local.relayProtocol;
    must(used === transport, `reached the relay over ${used ?? 'nothing'}, not ${transport}`);
  }
  return list;
}

// Without these a call that goes on would say little: the event has to have had its effect.
function complaintsAboutEvent(before, after) {
  const list = [];
  const port = (reports) => reports[0].pair?.local.port;
  if (options.moves && port(before) === port(after)) list.push('alice has the relayed address she had');
  if (options.lossy && !after.some((end) => end.audioPacketsLost > 0)) list.push('no packet was lost');
  return list;
}

function complaintsAboutFailure(reports) {
  const list = [];
  const code = Number(options['expect-error']);
  reports.forEach((end, i) => {
    const name = ['alice', 'bob'][i];
    if (end.framesDecoded > 0) list.push(`${name}: the call came about`);
    if (code && !end.candidateErrors.some((one) => one.errorCode === code)) {
      list.push(`${name}: no STUN error ${code}`);
    }
    if (options['expect-reflexive'] && !end.candidateTypes.includes('srflx')) {
      list.push(`${name}: STUN gave no address`);
    }
  });
  return list;
}

function verdict(result) {
  if (options.expect === 'no-call') return complaintsAboutFailure(result.call);
  const list = [];
  const judge = (reports, when) =>
    reports.forEach((end, i) =>
      list.push(...complaintsAboutEnd(['alice', 'bob'][i] + when, end, wanted[i])),
    );
  judge(result.call, '');
  if (result.event) {
    if (!result.event.wentOn) list.push('the call did not go on after the event');
    judge(result.event.reports, ' after the event');
    list.push(...complaintsAboutEvent(result.call, result.event.reports));
  }
  if (result.again) judge(result.again, ', second call');
  return list;
}

// --- What is shown --------------------------------------------------------------------------

// From the invitation to the frame that the later of the two saw.
function firstFrameMs([alice, bob]) {
  if (!alice.invitedAt || !alice.firstFrameAt || !bob.firstFrameAt) return null;
  return Math.max(alice.firstFrameAt, bob.firstFrameAt) - alice.invitedAt;
}

function describe(name, end) {
  const side = (one) => `${one.candidateType} ${one.address}:${one.port}`;
  const way = end.pair
    ? `${side(end.pair.local)} over ${end.pair.local.relayProtocol} -> ${side(end.pair.remote)}`
    : 'no pair selected';
  const errors = end.candidateErrors.map((one) => `${one.errorCode} ${one.errorText} (${one.url})`);
  return [
    `${name}: ${end.state}, ${way}`,
    `  ${end.framesDecoded} frames decoded, ${end.videoPacketsLost} of ${end.videoPackets} video packets lost, ` +
      `${end.audioPacketsLost} of ${end.audioPackets} audio packets lost, round trip ${end.pair?.roundTripMs} ms`,
    ...(errors.length ? [`  errors: ${errors.join('; ')}`] : []),
  ].join('\n');
}

function show(result) {
  const reports = (list) => list.map((end, i) => describe(['alice', 'bob'][i], end)).join('\n');
  const first = firstFrameMs(result.call);
  console.log(first === null ? 'no video on both sides' : `first frame on both sides ${first} ms after the invitation`);
  console.log(reports(result.call));
  if (result.event) {
    const gaps = result.event.reports.map((end) => `${end.longestGapMs} ms`).join(' and ');
    console.log(`the event took ${result.event.tookMs} ms; longest gap between frames ${gaps}`);
    console.log(reports(result.event.reports));
  }
  if (result.again) console.log(`second call: ${firstFrameMs(result.again)} ms\n${reports(result.again)}`);
  if (result.complaints.length) {
    [...result.call, ...(result.event?.reports ?? []), ...(result.again ?? [])].forEach((end) =>
      console.log(`events: ${end.events.join('; ')}`),
    );
  }
  for (const line of result.complaints) console.log(`NOT MET: ${line}`);
  if (options.json) fs.writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
}

async function run(alice, bob) {
  const versions = await Promise.all([alice.ready, bob.ready]);
  const room = await logIn(alice, bob);
  const result = { versions, call: await call(alice, bob, room) };
  result.firstFrameMs = firstFrameMs(result.call);
  if (options.expect === 'no-call') return result;
  if (options.event && result.call.every((one) => one.framesDecoded)) result.event = await happening([alice, bob]);
  if (options['call-again']) {
    await hangUp(alice, bob);
    await both([alice, bob], 'renewTurnServers');
    result.again = await call(alice, bob, room);
  }
  if (options.afterwards) {
    await hangUp(alice, bob);
    execFileSync('bash', ['-c', options.afterwards], { stdio: 'inherit' });
  }
  return result;
}

async function main() {
  const inNamespaces = options.namespaces.split(',');
  const browsers = options.browsers.split(',');
  const [alice, bob] = ['alice', 'bob'].map(
    (name, i) =>
      new PeerProcess(name, inNamespaces[i], { ca: options.ca, browser: browsers[i], script: options.client }),
  );
  const quit = () => Promise.all([alice.quit(), bob.quit()]);
  const giveUp = setTimeout(async () => {
    console.log(`NOT MET: the whole test took longer than ${WHOLE_LIMIT_MS / 1000} s`);
    await quit();
    process.exit(1);
  }, WHOLE_LIMIT_MS);
  try {
    const result = await run(alice, bob);
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
