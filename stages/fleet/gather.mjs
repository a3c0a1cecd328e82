#!/usr/bin/env node
// gather.mjs BROWSER NAMESPACE USER PASSWORD URI...: where a browser gets relayed addresses from. Each URI is tried alone,
// unless they are joined by a comma: then both at once. A line each:
//
//   URI: relayed ADDRESS... errors CODE...
import { setTimeout as sleep } from 'node:timers/promises';

import { PeerProcess } from '../e2e/peer-process.mjs';

const LIMIT_MS = 15_000;

const [browser, namespace, username, credential, ...all] = process.argv.slice(2);

async function gather(peer, urls) {
  await peer.call('start', { policy: 'relay', iceServers: [{ urls, username, credential }] });
  await peer.call('makeOffer');
  const end = Date.now() + LIMIT_MS;
  let progress;
  do {
    await sleep(50);
    progress = await peer.call('progress');
  } while (progress.gathering !== 'complete' && Date.now() < end);
  const { candidates, candidateErrors } = await peer.call('report');
  const sorted = (list) => [...new Set(list)].sort().join(' ') || 'none';
  return `relayed ${sorted(candidates.map((one) => one.address))} errors ${sorted(candidateErrors.map((one) => one.errorCode))}`;
}

const peer = new PeerProcess(browser, namespace, { browser });
try {
  await peer.ready;
  for (const uri of all) console.log(`${uri}: ${await gather(peer, uri.split(','))}`);
} finally {
  await peer.quit();
}
