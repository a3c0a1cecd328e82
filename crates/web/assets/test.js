// Tries each way into the relay, and shows what the server makes of it.

const post = async (name, body) => {
  const answer = await fetch(name, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json();
};

const attempt = async (uri, begun) => {
  const result = { uri, sent: 0, received: 0 };
  const config = {
    iceServers: [{ urls: uri, username: begun.username, credential: begun.credential }],
    iceTransportPolicy: "relay",
  };
  const [a, b] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
  const started = performance.now();
  a.onicecandidate = ({ candidate }) => {
    if (candidate?.candidate) {
      result.candidate_ms ??= performance.now() - started;
      result.relayed ??= `${candidate.address}:${candidate.port}`;
      b.addIceCandidate(candidate);
    }
  };
  b.onicecandidate = ({ candidate }) => candidate?.candidate && a.addIceCandidate(candidate);
  a.onicecandidateerror = (error) => {
    result.code = error.errorCode;
    result.text = error.errorText.slice(0, 120);
  };
  b.ondatachannel = ({ channel }) => {
    channel.onmessage = ({ data }) => channel.send(data);
  };
  const channel = a.createDataChannel("test", { ordered: false, maxRetransmits: 0 });
  channel.onmessage = () => {
    result.received += 1;
  };
  await a.setLocalDescription();
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription();
  await a.setRemoteDescription(b.localDescription);
  for (let turn = 0; turn < 100; turn += 1) {
    await new Promise((done) => setTimeout(done, 100));
    if (channel.readyState === "open" && result.sent < 50) {
      result.sent += 1;
      channel.send("x".repeat(1000));
    } else if (result.sent === 50) {
      break;
    }
  }
  a.close();
  b.close();
  return result;
};

const begun = await post("begin", {});
const uris = [];
for (const uri of begun.uris ?? []) {
  uris.push(await attempt(uri, begun));
}
const language = navigator.language.slice(0, 2);
const outcome = begun.id ? await post("report", { id: begun.id, language, uris, pair: null }) : begun;
document.getElementById("verdict").textContent = outcome.verdict ?? outcome.error;
