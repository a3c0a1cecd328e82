// What the peers written in JavaScript have in common: see README.md for the lines they are driven by.
import readline from 'node:readline';

const PING = 'ping';
const ECHO = 'echo';

export const CHANNEL = 'e2e';

export function echoOf(text) {
  return text.startsWith(PING) ? ECHO + text.slice(PING.length) : null;
}

export function pings(count) {
  return Array.from({ length: count }, (_, i) => (PING + i).padEnd(1000, '.'));
}

export function reportOf({ state, pair, echoesReceived }) {
  return {
    state,
    pair,
    videoFramesDecoded: 0,
    videoPacketsLost: 0,
    audioPacketsReceived: 0,
    echoesReceived,
    candidates: [],
    candidateErrors: [],
  };
}

// Answers calls until standard input ends.
export async function serve(version, peer) {
  const send = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
  send({ ready: version });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { id, call, arguments: values } = JSON.parse(line);
    try {
      send({ id, result: (await peer[call](...values)) ?? null });
    } catch (error) {
      send({ id, error: String(error) });
    }
  }
  process.exit();
}
