// libdatachannel, with libjuice for ICE, through node-datachannel: a data channel. Its TURN is UDP only.
import { createRequire } from 'node:module';

import { CHANNEL, echoOf, pings, reportOf, serve } from './lines.mjs';

const require = createRequire(new URL('.cache/', import.meta.url));
const { PeerConnection } = require('node-datachannel');
const { version } = require('./node_modules/node-datachannel/package.json');

let connection;
let channel;
let echoesReceived = 0;
let gathered = 0;
let description;
const candidates = [];

function server({ urls, username, credential }) {
  const [, hostname, port] = urls.match(/^turn:(.*):(\d+)\?transport=udp$/) ?? [];
  if (!hostname) throw new Error(`libjuice cannot use ${urls}`);
  return { hostname, port: Number(port), username, password: credential, relayType: 'TurnUdp' };
}

async function describe(type) {
  connection.setLocalDescription(type);
  for (let i = 0; i < 100 && !description; i++) await new Promise((resolve) => setTimeout(resolve, 20));
  return description;
}

await serve(`node-datachannel ${version}`, {
  start({ policy, iceServers }) {
    connection = new PeerConnection('peer', {
      iceServers: iceServers.map(server),
      iceTransportPolicy: policy,
      disableAutoNegotiation: true,
    });
    connection.onLocalDescription((sdp, type) => (description = { type, sdp }));
    connection.onLocalCandidate((candidate, sdpMid) => {
      gathered += 1;
      candidates.push({ candidate, sdpMid });
    });
    channel = connection.createDataChannel(CHANNEL, { negotiated: true, id: 0 });
    channel.onMessage((text) => {
      const echo = echoOf(text);
      if (echo) channel.sendMessage(echo);
      else echoesReceived += 1;
    });
  },
  makeOffer: () => describe('offer'),
  makeAnswer(offer) {
    connection.setRemoteDescription(offer.sdp, offer.type);
    return describe('answer');
  },
  takeAnswer: (answer) => connection.setRemoteDescription(answer.sdp, answer.type),
  addCandidates: (list) => list.forEach((one) => connection.addRemoteCandidate(one.candidate, one.sdpMid)),
  progress: () => ({
    state: connection.state(),
    gathering: connection.gatheringState(),
    gathered,
    candidates: candidates.splice(0),
  }),
  ping(count) {
    if (channel.isOpen()) pings(count).forEach((text) => channel.sendMessage(text));
  },
  report() {
    const pair = connection.getSelectedCandidatePair();
    const end = ({ type, address, port }) => ({ candidateType: type, address, port });
    return reportOf({
      state: connection.state(),
      pair: pair ? { local: end(pair.local), remote: end(pair.remote) } : null,
      echoesReceived,
    });
  },
});
