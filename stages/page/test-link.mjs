// test-link.mjs BROWSER URL EXPECTED SETTINGS: opens a test link as a person does and reads what its page comes to.
// EXPECTED is the colour of the verdict, and after a blank its name and what else is said: "warn udp-blocked". SETTINGS
// are JSON:
//   ca, language           see browser.mjs
//   reports                a file with what `turnctl test-link` prints
//   json                   whether that is JSON; else the text for people
//   pair                   whether a call with another person comes about
//   before                 a script that runs before those of the page
//   again                  the test is begun once more, by the keyboard
//   pictures               a directory: pictures of the page are taken
// Prints a line for each thing that is not as it should be.
import fs from 'node:fs';
import path from 'node:path';
import { DESKTOP, PHONE, fits, judge, must, pageOf, withBrowser } from './browser.mjs';

const [browserName, address, expected, given = '{}'] = process.argv.slice(2);
const settings = JSON.parse(given);
const isChromium = browserName === 'chromium';
const LIMIT_MS = 60_000;
const REPORT_MS = 5000;
// What a browser says by itself where a way does not work.
const OWN_WORDS = /WebRTC: ICE failed|status of 4|Cross-Origin-Opener-Policy header has been ignored/;
// The big words say all.
const ALL_SAID = ['ended', 'lost'];

const textOf = (page, selector) => page.$eval(selector, (node) => node.innerText.trim());

async function until(ms, holds) {
  for (let waited = 0; waited < ms; waited += 100) {
    const value = await holds();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return null;
}

// While the test runs: said in words, and nothing yet that could be taken for a result.
async function watch(page) {
  await page.waitForSelector('#headline:not(:empty)', { timeout: LIMIT_MS });
  const position = await page.$eval('#progress', (bar) => (bar.closest('[hidden]') ? null : bar.position));
  must(position !== null && position < 1, `the page tests by itself and shows how far it is: ${position}`);
}

// Delay and loss are no fault of this network: a busy machine makes them, and the test is begun once more.
const isNoise = (found) => /\b(slow|lossy)\b/.test(found);

async function read(page, tries = 3) {
  await page.waitForSelector('#running[hidden]', { timeout: LIMIT_MS });
  // The facts are hidden where there are none but the result.
  const facts = await page.$eval('#facts', (node) => node.textContent);
  const [, id, found] = /\s(\w*): ([\w, -]+)\./.exec(facts) ?? [];
  const result = {
    id,
    found,
    kind: await page.$eval('#verdict', (node) => node.className),
    headline: await textOf(page, '#headline'),
    reasons: await textOf(page, '#reasons'),
    help: await textOf(page, '#help'),
  };
  console.log(JSON.stringify(result));
  if (isNoise(found) && tries > 1) {
    await page.click('#again');
    return read(page, tries - 1);
  }
  for (const row of await page.$$eval('#ways tbody tr', (all) => all.map((one) => one.innerText.replace(/\s+/g, ' ')))) console.log(`  ${row}`);
  const said = `${result.kind} ${found}`;
  must(said === expected, `the page says ${expected}: it says ${said}`);
  must(result.reasons || ALL_SAID.includes(found), 'the page says why');
  must(result.help.includes('\n'), 'the page says what to do');
  const isRussian = /[а-я]/i.test(result.headline + result.reasons + result.help);
  must(isRussian === (settings.language === 'ru'), `the page is in the language of the browser: ${result.headline}`);
  return result;
}

// What the operator sees of the same test.
async function compare({ id, found }) {
  const [verdict] = found.split(', ');
  const line = await until(REPORT_MS, () => {
    const lines = fs.readFileSync(settings.reports, 'utf8').split('\n');
    if (!settings.json) return lines.find((one) => /^[\w-]+/.exec(one.trim())?.[0] === verdict);
    return lines.filter((one) => one.includes(`"${id}"`)).map((one) => JSON.parse(one).report).at(-1);
  });
  must(line, `turnctl reports ${id} as ${verdict}`);
  if (line && settings.json) {
    // A good verdict with an advice is shown as the advice.
    const said = [line.verdict, ...line.advice];
    must(said.find((one) => one !== 'ok') === verdict || said.join() === verdict, `the JSON says ${verdict}: it says ${said}`);
  }
  console.log(`turnctl: ${settings.json ? JSON.stringify(line) : line}`);
}

async function meetOther(page) {
  const text = () => textOf(page, '#pair-state');
  const works = await until(LIMIT_MS, async () => /^(A call between you works|Звонок между вами проходит)\.\s+\S.*\d/.test(await text()));
  must(works, `a call with the other person works: ${await text()}`);
  console.log(await text());
}

async function take(page, name, view, scheme) {
  await page.setViewport(view);
  if (isChromium) await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await fits(page, name, view);
  if (isChromium) await judge(page, name);
  await page.screenshot({ path: path.join(settings.pictures, `${name}.png`), fullPage: true });
}

// The keyboard alone begins the test once more.
async function again(page) {
  await page.keyboard.press('Tab');
  must(await page.evaluate(() => document.activeElement.id === 'again'), 'the keyboard reaches the button');
  await page.keyboard.press('Enter');
  await watch(page);
  must(await page.evaluate(() => document.activeElement.id === 'headline'), 'the focus is on the words that change');
  await read(page);
}

await withBrowser(browserName, settings, async (browser) => {
  const faults = [];
  const page = await pageOf(browser, faults);
  if (settings.before) await page.evaluateOnNewDocument(settings.before);
  await page.setViewport(PHONE);
  await page.goto(address);
  if (settings.again) await watch(page);
  if (settings.pictures && isChromium) await judge(page, `${browserName} while it runs`);
  const result = await read(page);
  if (settings.reports) await compare(result);
  if (settings.pair) await meetOther(page);
  if (settings.pictures) {
    fs.mkdirSync(settings.pictures, { recursive: true });
    await take(page, `${browserName}-phone-light`, PHONE, 'light');
    const height = await page.$eval('#verdict', (node) => Math.ceil(node.getBoundingClientRect().bottom + scrollY) + 10);
    await page.screenshot({ path: path.join(settings.pictures, `${browserName}-verdict.png`), clip: { x: 0, y: 0, width: PHONE.width, height } });
    if (isChromium) await take(page, `${browserName}-phone-dark`, PHONE, 'dark');
    await take(page, `${browserName}-desktop-light`, DESKTOP, 'light');
    if (isChromium) await take(page, `${browserName}-desktop-dark`, DESKTOP, 'dark');
  }
  if (settings.again) await again(page);
  const ours = faults.filter((one) => !OWN_WORDS.test(one));
  must(ours.length === 0, `no errors in the console: ${ours.join(' | ')}`);
});
