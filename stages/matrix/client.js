// One person's Matrix client: matrix-js-sdk, as Element Web uses it, and nothing around it. Bundled
// by esbuild; it runs inside the browser's page, and browser-peer.mjs calls the functions of
// `window.peer` one by one.
import * as sdk from 'matrix-js-sdk';
import { CallEvent, CallState } from 'matrix-js-sdk/lib/webrtc/call';
import { CallEventHandlerEvent } from 'matrix-js-sdk/lib/webrtc/callEventHandler';

const RING_LIMIT_MS = 15_000;

let client;
let call;
let events = [];
let candidateTypes = [];
let candidateErrors = [];
let invitedAt; // wall clock, as both ends of a call run on one machine
let frames; // of the other's video, as the page showed them

const note = (what) => events.push(`${Math.round(performance.now())} ms ${what}`);

async function until(what, limit, condition) {
  const deadline = performance.now() + limit;
  while (performance.now() < deadline) {
    const value = await condition();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited ${limit} ms in vain for: ${what}. ${events.slice(-15).join('; ')}`);
}

// `stunOnly`: uses the homeserver's relay for STUN alone, as a user does who has no TURN.
async function logIn({ homeserver, user, relayOnly, stunOnly }) {
  const anonymous = sdk.createClient({ baseUrl: homeserver });
  const login = await anonymous.loginRequest({
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user },
    password: user,
  });
  client = sdk.createClient({
    baseUrl: homeserver,
    accessToken: login.access_token,
    userId: login.user_id,
    deviceId: login.device_id,
    forceTURN: relayOnly && !stunOnly,
    fallbackICEServerAllowed: false,
  });
  client.on(CallEventHandlerEvent.Incoming, watch);
  client.on('RoomMember.membership', (_, member) => {
    if (member.membership === 'invite' && member.userId === login.user_id) client.joinRoom(member.roomId);
  });
  await client.startClient({ initialSyncLimit: 5, pollTimeout: 20_000 });
  await until('the first sync', 30_000, () => client.isInitialSyncComplete());
  const iceServers = await turnServers();
  if (stunOnly) client.turnServers = iceServers.map(({ urls }) => ({ urls: urls.flatMap(stunUrl) }));
  return { userId: login.user_id, iceServers };
}

function stunUrl(url) {
  const [, server] = url.match(/^turn:(.*)\?transport=udp$/) ?? [];
  return server ? [`stun:${server}`] : [];
}

// What the homeserver hands out, without the password.
async function turnServers() {
  await until('TURN credentials', 15_000, () => client.checkTurnServers());
  return client.getTurnServers().map(({ urls, username }) => ({ urls, username }));
}

// Asks the homeserver again, as clients do when what they have is about to expire.
async function renewTurnServers() {
  client.turnServersExpiry = 0;
  return turnServers();
}

async function makeRoom(invited) {
  const { room_id: room } = await client.createRoom({
    preset: 'trusted_private_chat',
    is_direct: true,
    invite: [invited],
  });
  await until('the other to join', 30_000, () => client.getRoom(room)?.getJoinedMemberCount() === 2);
  return room;
}

function watch(newCall) {
  call = newCall;
  events = [];
  candidateTypes = [];
  candidateErrors = [];
  frames = { shown: 0, firstAt: null, lastAt: null, longestGapMs: 0 };
  invitedAt = null;
  call.on(CallEvent.State, (state) => {
    note(state);
    if (state === CallState.InviteSent) invitedAt = Date.now();
  });
  call.on(CallEvent.Error, (error) => note(`error ${error.code} ${error.message}`));
  call.on(CallEvent.FeedsChanged, (feeds) => feeds.filter((feed) => !feed.isLocal()).forEach(show));
  // A call that comes in has its connection already.
  if (call.peerConn) watchConnection(call.peerConn);
  call.on(CallEvent.PeerConnectionCreated, watchConnection);
}

function watchConnection(connection) {
  connection.addEventListener('icecandidate', ({ candidate }) => {
    if (candidate?.type) candidateTypes.push(candidate.type);
  });
  connection.addEventListener('icecandidateerror', ({ url, errorCode, errorText }) =>
    candidateErrors.push({ url, errorCode, errorText }),
  );
  connection.addEventListener('connectionstatechange', () => note(`connection ${connection.connectionState}`));
}

// A track is only decoded where something plays it.
function show(feed) {
  if (!feed.stream?.getVideoTracks().length || document.getElementById(feed.stream.id)) return;
  const video = document.createElement('video');
  video.id = feed.stream.id;
  video.autoplay = video.muted = video.playsInline = true;
  video.srcObject = feed.stream;
  document.body.append(video);
  const count = () => {
    const now = Date.now();
    frames.firstAt ??= now;
    if (frames.lastAt) frames.longestGapMs = Math.max(frames.longestGapMs, now - frames.lastAt);
    frames.lastAt = now;
    frames.shown += 1;
    video.requestVideoFrameCallback(count);
  };
  video.requestVideoFrameCallback(count);
}

async function place(room) {
  watch(client.createCall(room));
  await call.placeVideoCall();
}

async function answer() {
  await until('the call to ring', RING_LIMIT_MS, () => call?.state === CallState.Ringing);
  await call.answer();
}

// Forgets the longest gap between frames, so that the next one is told alone.
function forgetGap() {
  frames.longestGapMs = 0;
  frames.lastAt = Date.now();
}

async function hangUp() {
  call.hangup('user_hangup', false);
}

async function ended() {
  await until('the call to end', 15_000, () => call.state === CallState.Ended);
  return call.hangupReason;
}

async function report() {
  const connection = call?.peerConn;
  const stats = connection ? [...(await connection.getStats()).values()] : [];
  const inbound = (kind) => stats.find((entry) => entry.type === 'inbound-rtp' && entry.kind === kind) ?? {};
  const gap = frames?.lastAt ? Math.max(frames.longestGapMs, Date.now() - frames.lastAt) : null;
  return {
    state: call?.state ?? 'no call',
    connection: connection?.connectionState,
    policy: connection?.getConfiguration().iceTransportPolicy,
    pair: selectedPair(stats),
    invitedAt,
    firstFrameAt: frames?.firstAt ?? null,
    longestGapMs: gap,
    framesDecoded: inbound('video').framesDecoded ?? 0,
    width: inbound('video').frameWidth,
    videoPackets: inbound('video').packetsReceived ?? 0,
    videoPacketsLost: inbound('video').packetsLost ?? 0,
    audioPackets: inbound('audio').packetsReceived ?? 0,
    audioPacketsLost: inbound('audio').packetsLost ?? 0,
    candidateTypes,
    candidateErrors,
    events,
  };
}

// Chromium names the pair in its transport entry; Firefox marks the pair itself.
function selectedPair(stats) {
  const byId = new Map(stats.map((entry) => [entry.id, entry]));
  const transport = stats.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
  const pair =
    byId.get(transport?.selectedCandidatePairId) ??
    stats.find((entry) => entry.type === 'candidate-pair' && entry.selected);
  if (!pair) return null;
  const end = (id) => {
    const { candidateType, relayProtocol, address, port } = byId.get(id) ?? {};
    return { candidateType, relayProtocol, address, port };
  };
  const { bytesSent, bytesReceived, currentRoundTripTime } = pair;
  return {
    local: end(pair.localCandidateId),
    remote: end(pair.remoteCandidateId),
    bytesSent,
    bytesReceived,
    roundTripMs: currentRoundTripTime === undefined ? null : Math.round(currentRoundTripTime * 1000),
  };
}

window.peer = { logIn, renewTurnServers, makeRoom, place, answer, forgetGap, hangUp, ended, report };
