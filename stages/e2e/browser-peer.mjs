// browser-peer.mjs OPTIONS: one headless browser with page.js in it, driven by lines of JSON on
// standard input: {"id": 1, "call": "start", "arguments": [...]}. Each is answered by one line on
// standard output. It ends, and its browser with it, when standard input ends.
//
// call.mjs runs it inside a network namespace, so the browser sees that network only. The page is
// served on the namespace's own 127.0.0.1, which browsers take for a secure context (cameras need
// one). OPTIONS is JSON:
//   ca        a file: the browser trusts that certificate authority
//   browser   chromium (default) or firefox
//   script    a file to run in place of page.js; it too sets `window.peer`
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
const browserName = options.browser ?? 'chromium';
const programs = {
  chromium: process.env.CHROMIUM ?? '/usr/bin/chromium',
  firefox: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
};

const CHROMIUM_FLAGS = [
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

const FIREFOX_SETTINGS = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'media.peerconnection.ice.obfuscate_host_addresses': false, // as above: mDNS
  // Nothing is fetched at start, as nothing could answer.
  'media.gmp-manager.updateEnabled': false,
  'media.gmp-provider.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'app.normandy.enabled': false,
  'browser.safebrowsing.downloads.remote.enabled': false,
  'services.settings.server': 'data:,#remote-settings-dummy/v1',
};

const send = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

async function servePage() {
  const script = fs.readFileSync(options.script ?? path.join(here, 'page.js'));
  const html = '<!doctype html><meta charset=utf-8><title>call</title><body><script src=/page.js></script>';
  const server = http.createServer(({ url }, response) => {
    const isScript = url === '/page.js';
    response.setHeader('content-type', isScript ? 'text/javascript; charset=utf-8' : 'text/html');
    response.end(isScript ? script : html);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

// Chromium reads trusted authorities from $HOME/.pki/nssdb, Firefox from its profile. This checks
// the chain and the name for real, which switching certificate errors off would not.
function trust(ca, database) {
  fs.mkdirSync(database, { recursive: true });
  execFileSync('certutil', ['-d', `sql:${database}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${database}`, '-A', '-t', 'C,,', '-n', 'test CA', '-i', ca]);
}

function launch(home) {
  const profile = path.join(home, 'profile');
  const isFirefox = browserName === 'firefox';
  if (options.ca) trust(options.ca, isFirefox ? profile : path.join(home, '.pki/nssdb'));
  const common = {
    executablePath: programs[browserName],
    headless: true,
    userDataDir: profile,
    env: { ...process.env, HOME: home, TMPDIR: home },
  };
  if (isFirefox) return puppeteer.launch({ ...common, browser: 'firefox', extraPrefsFirefox: FIREFOX_SETTINGS });
  return puppeteer.launch({ ...common, pipe: true, args: CHROMIUM_FLAGS });
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
    browser = await launch(home);
    const page = await browser.newPage();
    await page.goto(url);
    await page.waitForFunction('window.peer');
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
