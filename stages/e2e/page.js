// One end of a call. Runs inside the browser's page; browser-peer.mjs calls the functions of
// `window.peer` one by one. Signalling (offer, answer, candidates) is carried by call.mjs.
'use strict';

window.peer = (() => {
  const PING = 'ping';
  const ECHO = 'echo';
  const SILENCE_MS = 1_000; // longer than this without new packets, or without new frames, and they have stopped
  const SAMPLE_MS = 100;

  let connection;
  let channel;
  let echoesReceived = 0;
  const newCandidates = []; // gathered, not yet fetched by call.mjs
  const allCandidates = [];
  const candidateErrors = [];
  let offerNeeded = false; // and not yet fetched
  const events = []; // { at, what }: states of ICE, restarts, and media that stop and go on

  // Where there is a call already, this is another one.
  function start({ iceServers, policy }) {
    connection?.close();
    for (const list of [newCandidates, allCandidates, candidateErrors]) list.length = 0;
    connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: policy });
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate) return;
      newCandidates.push(candidate.toJSON());
      allCandidates.push({ type: candidate.type, address: candidate.address, port: candidate.port });
    };
    connection.onicecandidateerror = ({ url, errorCode, errorText }) =>
      candidateErrors.push({ url, errorCode, errorText });
    connection.ontrack = ({ track }) => track.kind === 'video' && show(track);
    // Negotiated: both ends make it themselves, so neither waits for the other's announcement.
    channel = connection.createDataChannel('e2e', { negotiated: true, id: 0 });
    channel.onmessage = ({ data }) => {
      if (data.startsWith(PING)) channel.send(ECHO + data.slice(PING.length));
      else if (data.startsWith(ECHO)) echoesReceived += 1;
    };
  }

  // A track is only decoded where something plays it.
  function show(track) {
    const video = document.createElement('video');
    video.autoplay = video.muted = video.playsInline = true;
    video.srcObject = new MediaStream([track]);
    document.body.append(video);
  }

  async function addCamera() {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: true,
      video: { width: 640, height: 360, frameRate: 15 },
    });
    for (const track of stream.getTracks()) connection.addTrack(track, stream);
  }

  // What was gathered for the description before, if there is one, is of no use to the other end.
  const forgetCandidates = () => newCandidates.splice(0);

  async function makeOffer() {
    forgetCandidates();
    await connection.setLocalDescription(await connection.createOffer());
    return connection.localDescription.toJSON();
  }

  async function makeAnswer(offer) {
    await connection.setRemoteDescription(offer);
    forgetCandidates();
    await connection.setLocalDescription(await connection.createAnswer());
    return connection.localDescription.toJSON();
  }

  async function takeAnswer(answer) {
    await connection.setRemoteDescription(answer);
  }

  const note = (what) => events.push({ at: Date.now(), what });

  // Restarts ICE when it has failed, and when it has been disconnected for `patience` milliseconds and has not come back
  // by itself. That needs an offer, of which `progress` tells.
  function restartOnTrouble(patience) {
    let timer;
    const restart = () => {
      note('restart');
      connection.restartIce();
    };
    connection.onnegotiationneeded = () => (offerNeeded = true);
    connection.onicegatheringstatechange = () => note(`gathering ${connection.iceGatheringState}`);
    connection.oniceconnectionstatechange = () => {
      const state = connection.iceConnectionState;
      note(state);
      clearTimeout(timer);
      if (state === 'failed') restart();
      if (state === 'disconnected') timer = setTimeout(restart, patience);
    };
  }

  // Notes when new packets of each kind, and new frames, have come again after a silence.
  async function watchMedia() {
    const kinds = { audio: 'audioPacketsReceived', video: 'videoPacketsReceived', frames: 'videoFramesDecoded' };
    const last = {};
    for (;;) {
      const now = await report();
      for (const [kind, name] of Object.entries(kinds)) {
        const at = Date.now();
        if (now[name] === last[kind]?.count) continue;
        if (last[kind] && at - last[kind].at > SILENCE_MS) events.push({ at, what: `${kind} again`, since: last[kind].at });
        last[kind] = { count: now[name], at };
      }
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
  }

  async function addCandidates(candidates) {
    for (const candidate of candidates) await connection.addIceCandidate(candidate);
  }

  // What call.mjs asks for again and again while the call is being set up.
  function progress() {
    const needed = offerNeeded;
    offerNeeded = false;
    return {
      state: connection.connectionState,
      offerNeeded: needed,
      gathering: connection.iceGatheringState,
      gathered: allCandidates.length,
      candidates: newCandidates.splice(0),
    };
  }

  // Sends `count` messages of 1000 bytes, if the channel is open.
  function ping(count) {
    if (channel.readyState !== 'open') return;
    for (let i = 0; i < count; i++) channel.send((PING + i).padEnd(1000, '.'));
  }

  async function report() {
    const stats = [...(await connection.getStats()).values()];
    const byId = new Map(stats.map((entry) => [entry.id, entry]));
    const video = stats.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video');
    const audio = stats.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'audio');
    return {
      state: connection.connectionState,
      pair: selectedPair(stats, byId),
      videoFramesDecoded: video?.framesDecoded ?? 0,
      videoPacketsReceived: video?.packetsReceived ?? 0,
      videoPacketsLost: video?.packetsLost ?? 0,
      audioPacketsReceived: audio?.packetsReceived ?? 0,
      audioPacketsLost: audio?.packetsLost ?? 0,
      echoesReceived,
      candidates: allCandidates,
      candidateErrors,
      events,
    };
  }

  function selectedPair(stats, byId) {
    const transport = stats.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
    const pair = transport && byId.get(transport.selectedCandidatePairId);
    if (!pair) return null;
    const end = (id) => {
      const { candidateType, relayProtocol, address, port, url } = byId.get(id) ?? {};
      return { candidateType, relayProtocol, address, port, url };
    };
    return {
      local: end(pair.localCandidateId),
      remote: end(pair.remoteCandidateId),
      bytesSent: pair.bytesSent,
      bytesReceived: pair.bytesReceived,
    };
  }

  return {
    start,
    addCamera,
    makeOffer,
    makeAnswer,
    takeAnswer,
    restartOnTrouble,
    // It goes on as long as the page.
    watchMedia: () => void watchMedia(),
    addCandidates,
    progress,
    ping,
    report,
  };
})();
