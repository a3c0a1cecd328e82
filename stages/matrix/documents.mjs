#!/usr/bin/env node
// documents.mjs: what the golden test saw, in words.
//
//   node documents.mjs line RESULT                                 one line about one call
//   node documents.mjs write CASES RESULTS_DIR STATUSES DOCUMENT   writes docs/interop.md
//   node documents.mjs check CASES RESULTS_DIR STATUSES DOCUMENT   fails where that lacks a row, has
//                                                                  one too many, or tells of another
//                                                                  outcome than this run had
//
// CASES is cases.txt, RESULTS_DIR what the cases wrote (NAME.json), STATUSES the file of lib/common.sh.
import fs from 'node:fs';
import path from 'node:path';

// --- What is read -----------------------------------------------------------------------------

function readResult(file) {
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : null;
}

// [{ heading, rows: [{ name, needs, title }] }]
function readCases(file) {
  const tables = [];
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    if (line.startsWith('## ')) tables.push({ heading: line.slice(3), rows: [] });
    else if (line && !line.startsWith('#')) {
      const [steps, title] = line.split(/\s*\|\s*/);
      const [name, , needs] = steps.split(/\s+/);
      tables.at(-1).rows.push({ name, needs, title });
    }
  }
  return tables;
}

function readStatuses(file) {
  const statuses = new Map();
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    const [status, , name] = line.split('\t');
    if (name?.startsWith('matrix/')) statuses.set(name.slice('matrix/'.length), status);
  }
  return statuses;
}

// --- What is said about a call ----------------------------------------------------------------

// The two ends of a call in words that hold for both kinds of result, of browsers and of other peers.
function ends(result) {
  return result.event?.reports ?? result.call ?? [result.a, result.b];
}

function transports(result) {
  return ends(result).map((end) => end.pair?.local.relayProtocol ?? (end.pair?.local.candidateType === 'relay' ? '' : 'none'));
}

function lost(result) {
  const sum = (key) => ends(result).reduce((total, end) => total + Math.max(0, end[key] ?? 0), 0);
  // Packets that arrive twice make the count of lost ones negative (RFC 3550, section 6.4.1).
  const packets = sum('videoPackets') + sum('audioPackets');
  return `${sum('videoPacketsLost') + sum('audioPacketsLost')} of ${packets}`;
}

function measures(result) {
  return {
    transport: transports(result).join(' / '),
    firstFrame: result.firstFrameMs ? `${result.firstFrameMs} ms` : '',
    frames: ends(result).map((end) => end.framesDecoded).join(' / '),
    lost: lost(result),
    gap: result.event ? result.event.reports.map((end) => `${end.longestGapMs} ms`).join(' / ') : '',
  };
}

function line(file) {
  const result = readResult(file);
  if (!result?.call?.every((end) => end.framesDecoded)) return;
  const { transport, firstFrame, frames, lost: packets, gap } = measures(result);
  console.log(
    `     ${transport}: first frame after ${firstFrame}, ${frames} frames decoded, ${packets} packets lost` +
      (gap ? `, longest gap ${gap}` : ''),
  );
}

// --- The document -----------------------------------------------------------------------------

// Why a row has no result here; one that only lacks a program says which.
const REASONS = {
  firefox: 'not run: needs Firefox ESR',
  coturn: 'not run: needs coturn',
};

// What did not run says so: nothing is taken over from an earlier run.
function outcome({ name, needs }, statuses) {
  const status = statuses.get(name);
  if (status === 'PASS') return 'as it should be';
  if (status === 'FAIL') return '**failed**';
  return REASONS[needs] ?? `not run: ${needs} was not there`;
}

const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
const code = (text) => `\`${text}\``;

const LAYOUTS = {
  calls: {
    head: ['Case', 'What', 'Result', 'Way to the relay', 'Invitation to first frame', 'Frames decoded', 'Packets lost'],
    cells: (result) => {
      const { transport, firstFrame, frames, lost: packets } = measures(result);
      return [transport, firstFrame, frames, packets];
    },
  },
  events: {
    head: ['Case', 'What happens', 'Result', 'Longest gap between frames', 'Frames decoded', 'Packets lost'],
    cells: (result) => {
      const { gap, frames, lost: packets } = measures(result);
      return [gap || '-', frames, packets];
    },
  },
  controls: { head: ['Case', 'What', 'Result'], cells: () => [] },
  clients: {
    head: ['Case', 'Who', 'Result', 'Versions', 'Connected after'],
    cells: (result) => [
      [...new Set(result.versions)].join(', '),
      result.connectedAfterMs === null ? 'never' : `${result.connectedAfterMs} ms`,
    ],
  },
};

function layoutOf(heading) {
  if (heading.startsWith('Calls that must not')) return LAYOUTS.controls;
  if (heading.startsWith('What happens')) return LAYOUTS.events;
  if (heading.startsWith('Other clients')) return LAYOUTS.clients;
  return LAYOUTS.calls;
}

function tableOf({ heading, rows }, directory, statuses) {
  const { head, cells } = layoutOf(heading);
  const empty = head.slice(3).map(() => '');
  return table(
    head,
    rows.map((one) => {
      const result = statuses.get(one.name) === 'PASS' && readResult(path.join(directory, `${one.name}.json`));
      return [code(one.name), one.title, outcome(one, statuses), ...(result ? cells(result) : empty)];
    }),
  );
}

function versionsOf(directory) {
  const seen = new Set();
  for (const file of fs.readdirSync(directory)) {
    for (const version of readResult(path.join(directory, file)).versions ?? []) seen.add(version);
  }
  return [...seen].filter((version) => /chrom|firefox/i.test(version)).sort();
}

function document(cases, directory, statuses) {
  const intro = fs.readFileSync(new URL('interop.template', import.meta.url), 'utf8');
  const programs = fs.readFileSync(path.join(directory, '..', 'versions.txt'), 'utf8').trim().split('\n');
  const versions = [...programs, ...versionsOf(directory)].map((version) => `- ${version}`).join('\n');
  const tables = cases
    .map((one) => `## ${one.heading}\n\n${tableOf(one, directory, statuses)}\n`)
    .join('\n');
  return intro.replace('VERSIONS\n', `${versions}\n`).replace('TABLES\n', tables);
}

// The rows of a document: name -> what it says came of it.
function rowsOf(text) {
  const rows = new Map();
  for (const [, name, , result] of text.matchAll(/^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \|/gm)) rows.set(name, result.trim());
  return rows;
}

function check(cases, statuses, file) {
  const written = rowsOf(fs.readFileSync(file, 'utf8'));
  const all = cases.flatMap(({ rows }) => rows);
  const complaints = [];
  for (const one of all) {
    const said = written.get(one.name);
    if (said === undefined) complaints.push(`there is no row for the case ${one.name}`);
    // A case that could not run when the page was written may have learned to: that is no untruth.
    const compared = said !== undefined && !said.startsWith('not run') && ['PASS', 'FAIL'].includes(statuses.get(one.name));
    if (compared && said !== outcome(one, statuses)) {
      complaints.push(`the row ${one.name} says "${said}", this run says "${outcome(one, statuses)}"`);
    }
    written.delete(one.name);
  }
  for (const name of written.keys()) complaints.push(`no case is called ${name}, but there is a row for it`);
  for (const one of complaints) console.log(one);
  if (complaints.length) console.log(`write ${file} anew: stages/matrix/run --all --write-docs`);
  process.exitCode = complaints.length ? 1 : 0;
}

const [action, ...files] = process.argv.slice(2);
if (action === 'line') line(files[0]);
else {
  const [cases, directory, statuses, file] = files;
  if (action === 'write') fs.writeFileSync(file, document(readCases(cases), directory, readStatuses(statuses)));
  else check(readCases(cases), readStatuses(statuses), file);
}
