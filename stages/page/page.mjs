// page.mjs BROWSER URL PICTURES USER: opens the status page, reads it, ends the session of USER with the keyboard, and
// takes pictures.
// URL is what `turnctl page` prints. Prints a line for each thing that is not as it should be.
import fs from 'node:fs';
import path from 'node:path';
import { DESKTOP, PHONE as NARROW, fits, judge, must, pageOf, withBrowser } from './browser.mjs';

const [browserName, address, pictures, victim] = process.argv.slice(2);
const plain = address.replace(/#.*/, '');
const isChromium = browserName === 'chromium';
const LIMIT_MS = 15_000;
const PHONE = { ...NARROW, isMobile: isChromium, hasTouch: isChromium };

async function open(page, url) {
  await page.goto('about:blank');
  await page.goto(url);
  await page.waitForSelector('#sessions tbody tr', { timeout: LIMIT_MS });
  await page.waitForSelector('#bandwidth svg path', { timeout: LIMIT_MS });
}

const texts = (page, selector) => page.$$eval(selector, (all) => all.map((one) => one.textContent));

// What a reader without a token sees.
async function read(page) {
  await open(page, plain);
  const users = await texts(page, '#sessions tbody td:first-child');
  must(users.length >= 4, `only ${users.length} sessions are shown`);
  for (const user of [victim, 'bob']) must(users.includes(user), `${user} is among ${users}`);
  must(!(await page.$('#sessions button')), 'without a token no session can be ended');
  must(await page.$eval('#how-to-act', (hint) => !hint.hidden), 'it is said how to end a session');
  const failed = await texts(page, '#logins tbody td:first-child');
  must(failed.some((name) => name.includes('<img src=x onerror')), `a hostile name is text: ${failed}`);
  must(!(await page.$('#logins img')) && !(await page.evaluate('window.hacked')), 'a hostile name is no markup');
  const results = await texts(page, '#tests tbody td');
  must(results.some((one) => one.startsWith('no-webrtc')), `the result of a test link is shown: ${results}`);
  must((await texts(page, '#certificates li')).join().includes('turn.e2e.test'), 'the certificate is shown');
  must((await texts(page, '#doctor')).join().length > 20, 'the report of doctor is shown');
  must(await page.$eval('#bandwidth svg', (svg) => /bit\/s/.test(svg.getAttribute('aria-label'))), 'the graph is described');
  await page.waitForFunction(() => /[1-9]/.test(document.querySelector('#sessions tbody td:nth-child(5)')?.textContent ?? ''), { timeout: LIMIT_MS });
}

const focused = (page) => page.evaluate(() => document.activeElement?.textContent ?? '');

async function tabUntil(page, holds) {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab');
    if (await holds()) return true;
  }
  return false;
}

// With a token, by the keyboard alone.
async function act(page) {
  await open(page, address);
  must(!(await page.evaluate(() => location.href)).includes('token'), 'the token leaves the address bar');
  await page.waitForSelector('#sessions button', { timeout: LIMIT_MS });
  await page.type('#filter', victim);
  const before = (await texts(page, '#sessions tbody tr')).length;
  must(before === 1, `${victim} has one session, not ${before}`);
  const isEnd = async () => (await focused(page)) === 'End session';
  must(await tabUntil(page, isEnd), 'the keyboard reaches a button of a session');
  await new Promise((resolve) => setTimeout(resolve, 4500));
  must(await isEnd(), 'an update takes no focus');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#confirm[open]', { timeout: LIMIT_MS });
  must((await focused(page)) === 'Cancel', 'the safe answer has the focus');
  await page.keyboard.press('Escape');
  await page.waitForSelector('#confirm:not([open])', { timeout: LIMIT_MS });
  must((await texts(page, '#sessions tbody tr')).length === before, 'who cancels ends nothing');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#confirm[open]', { timeout: LIMIT_MS });
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForFunction((n) => document.querySelectorAll('#sessions tbody tr').length < n, { timeout: LIMIT_MS }, before);
  await page.$eval('#filter', (input) => {
    input.value = '';
    input.dispatchEvent(new Event('input'));
  });
}

// Makes a link as turnctl does.
async function makeLink(page) {
  await page.click('#make-link');
  await page.waitForFunction(() => document.querySelector('#link').textContent.startsWith('https://turn.e2e.test:5349/test/'), { timeout: LIMIT_MS });
}

async function show(page, name, view, scheme, language) {
  await page.setViewport(view);
  if (isChromium) await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.select('#language', language);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  await fits(page, name, view);
  if (isChromium) await judge(page, name);
  await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
}

fs.mkdirSync(pictures, { recursive: true });
await withBrowser(browserName, {}, async (browser) => {
  const faults = [];
  const page = await pageOf(browser, faults);
  await page.setViewport(DESKTOP);
  await read(page);
  await act(page);
  await makeLink(page);
  await show(page, `${browserName}-desktop-light`, DESKTOP, 'light', 'en');
  await page.screenshot({ path: path.join(pictures, `${browserName}-top.png`), clip: { x: 0, y: 0, width: DESKTOP.width, height: 760 } });
  await show(page, `${browserName}-phone-light`, PHONE, 'light', 'ru');
  if (isChromium) {
    await show(page, `${browserName}-desktop-dark`, DESKTOP, 'dark', 'ru');
    await show(page, `${browserName}-phone-dark`, PHONE, 'dark', 'en');
  }
  must(faults.length === 0, `no errors in the console: ${faults.join(' | ')}`);
});
