// browser-peer.mjs OPTIONS: one headless Chromium with page.js in it, driven by lines of JSON on
// standard input: {"id": 1, "call": "start", "arguments": [...]}. Each is answered by one line on
// standard output. It ends, and its browser with it, when standard input ends.
//
// call.mjs runs it inside a network namespace, so the browser sees that network only. The page is
// served on the namespace's own 127.0.0.1, which browsers take for a secure context (cameras need
// one). OPTIONS is JSON: {"ca": FILE} makes the browser trust that certificate authority.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const puppeteer = createRequire(path.join(here, '.cache/'))('puppeteer-core');
const options = JSON.parse(process.argv[2] ?? '{}');
const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';

const FLAGS = [
  '--no-sandbox', // Chromium's sandbox does not start as root
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-features=WebRtcHideLocalIpsWithMdns', // nobody answers mDNS between the namespaces
];

const send = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

async function servePage() {
  const script = fs.readFileSync(path.join(here, 'page.js'), 'utf8');
  const html = `<!doctype html><meta charset=utf-8><title>call</title><body><script>${script}</script>`;
  const server = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(html);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

// Chromium reads trusted authorities from $HOME/.pki/nssdb. This checks the chain and the name for
// real, which switching certificate errors off would not.
function trust(ca, home) {
  const database = path.join(home, '.pki/nssdb');
  fs.mkdirSync(database, { recursive: true });
  execFileSync('certutil', ['-d', `sql:${database}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${database}`, '-A', '-t', 'C,,', '-n', 'test CA', '-i', ca]);
}

async function answer(page, line) {
  const { id, call, arguments: values } = JSON.parse(line);
  try {
    const result = await page.evaluate((name, list) => window.peer[name](...list), call, values);
    send({ id, result: result ?? null });
  } catch (error) {
    send({ id, error: String(error) });
  }
}

async function main() {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'taciturn-e2e-'));
  const { server, url } = await servePage();
  let browser;
  try {
    if (options.ca) trust(options.ca, home);
    browser = await puppeteer.launch({
      executablePath: chromium,
      headless: true,
      pipe: true,
      userDataDir: path.join(home, 'profile'),
      env: { ...process.env, HOME: home, TMPDIR: home },
      args: FLAGS,
    });
    const page = await browser.newPage();
    await page.goto(url);
    send({ ready: await browser.version() });
    for await (const line of readline.createInterface({ input: process.stdin })) await answer(page, line);
  } catch (error) {
    send({ fatal: String(error?.stack ?? error) });
    process.exitCode = 1;
  } finally {
    await browser?.close();
    server.close();
    fs.rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}

await main();
