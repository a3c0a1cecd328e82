// werift, WebRTC written in TypeScript: a data channel.
import { createRequire } from 'node:module';

import { CHANNEL, echoOf, pings, reportOf, serve } from './lines.mjs';

const require = createRequire(new URL('.cache/', import.meta.url));
const { RTCPeerConnection } = require('werift');
const { version } = require('./node_modules/werift/package.json');

let connection;
let channel;
let echoesReceived = 0;
let gathered = 0;
const candidates = [];

function description() {
  const { type, sdp } = connection.localDescription;
  return { type, sdp };
}

await serve(`werift ${version}`, {
  start({ policy, iceServers }) {
    connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: policy });
    connection.onIceCandidate.subscribe((candidate) => {
      if (!candidate?.candidate) return;
      gathered += 1;
      candidates.push(candidate.toJSON ? candidate.toJSON() : candidate);
    });
    channel = connection.createDataChannel(CHANNEL, { negotiated: true, id: 0 });
    channel.onMessage.subscribe((data) => {
      const echo = echoOf(String(data));
      if (echo) channel.send(echo);
      else echoesReceived += 1;
    });
  },
  async makeOffer() {
    await connection.setLocalDescription(await connection.createOffer());
    return description();
  },
  async makeAnswer(offer) {
    await connection.setRemoteDescription(offer);
    await connection.setLocalDescription(await connection.createAnswer());
    return description();
  },
  takeAnswer: (answer) => connection.setRemoteDescription(answer),
  async addCandidates(list) {
    for (const one of list) await connection.addIceCandidate(one);
  },
  progress: () => ({
    state: connection.connectionState,
    gathering: connection.iceGatheringState,
    gathered,
    candidates: candidates.splice(0),
  }),
  ping(count) {
    if (channel.readyState === 'open') pings(count).forEach((text) => channel.send(text));
  },
  report() {
    const pair = connection.iceTransports[0]?.connection.nominated;
    const end = (one) => ({ candidateType: one.type, address: one.host, port: one.port });
    return reportOf({
      state: connection.connectionState,
      pair: pair ? { local: end(pair.localCandidate), remote: end(pair.remoteCandidate) } : null,
      echoesReceived,
    });
  },
});
