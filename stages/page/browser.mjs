// What the tests of both pages need of a browser: it begins with a fresh profile, complaints are counted, and a page is
// judged as it looks at a given width.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const required = createRequire(path.join(path.dirname(fileURLToPath(import.meta.url)), '../e2e/.cache/'));
const puppeteer = required('puppeteer-core');

export const DESKTOP = { width: 1280, height: 900 };
export const PHONE = { width: 360, height: 740 };

let complaints = 0;

export function must(holds, what) {
  if (holds) return;
  complaints += 1;
  console.log(`NOT MET: ${what}`);
}

// Chromium reads trusted authorities from $HOME/.pki/nssdb, Firefox from its profile.
function trust(ca, database) {
  fs.mkdirSync(database, { recursive: true });
  execFileSync('certutil', ['-d', `sql:${database}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${database}`, '-A', '-t', 'C,,', '-n', 'test CA', '-i', ca]);
}

function launch(name, home, { ca, language = 'en' }) {
  const isChromium = name === 'chromium';
  const profile = path.join(home, 'profile');
  if (ca) trust(ca, isChromium ? path.join(home, '.pki/nssdb') : profile);
  const env = { ...process.env, HOME: home, TMPDIR: home };
  const common = { headless: true, userDataDir: profile, env };
  if (!isChromium) {
    return puppeteer.launch({
      ...common,
      executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
      browser: 'firefox',
      extraPrefsFirefox: { 'intl.accept_languages': language },
    });
  }
  const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', `--lang=${language}`];
  return puppeteer.launch({ ...common, executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', pipe: true, args });
}

// Runs `steps` with a browser. `settings`: a certificate authority that it trusts (`ca`), and its `language`. The exit
// status says whether all was met.
export async function withBrowser(name, settings, steps) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'taciturn-page-'));
  let browser;
  try {
    browser = await launch(name, home, settings);
    console.log(await browser.version());
    await steps(browser);
  } catch (error) {
    must(false, error.stack);
  } finally {
    await browser?.close();
    fs.rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
  process.exitCode = complaints ? 1 : 0;
}

// A page whose errors are collected in `faults`.
export async function pageOf(browser, faults) {
  const page = await browser.newPage();
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  return page;
}

export async function judge(page, name) {
  await page.evaluate(fs.readFileSync(required.resolve('axe-core/axe.min.js'), 'utf8'));
  const { violations } = await page.evaluate(() => window.axe.run());
  for (const { id, impact, nodes } of violations) {
    const where = nodes.map((node) => node.target.join(' ')).join('; ');
    must(impact !== 'serious' && impact !== 'critical', `axe: ${impact} ${id} on ${name}: ${where}`);
  }
}

// The page fits and every text of it is there.
export async function fits(page, name, view) {
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  must(width <= view.width, `${name} fits into ${view.width} px: it has ${width}`);
  const empty = await page.$$eval('[data-text]', (all) => all.filter((one) => !one.textContent).length);
  must(empty === 0, `every text of ${name} is there`);
}
