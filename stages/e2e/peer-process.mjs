// A peer as a child process, in a network namespace where one is named: browser-peer.mjs, or another
// program that is driven by the same lines of JSON.
import { spawn } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const script = path.join(path.dirname(fileURLToPath(import.meta.url)), 'browser-peer.mjs');
const CALL_LIMIT_MS = 40_000;
const QUIT_LIMIT_MS = 8_000;

export class PeerProcess {
  #child;
  #errors = '';
  #nextId = 1;
  #pending = new Map();
  name;
  ready;

  // `program` is the command of another peer than a browser; it gets the options as well.
  constructor(name, namespace, options, program = [process.execPath, script]) {
    this.name = name;
    const command = [...program, JSON.stringify(options)];
    if (namespace) command.unshift('ip', 'netns', 'exec', namespace);
    this.#child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr.on('data', (data) => (this.#errors += data));
    this.#child.stdin.on('error', () => {}); // told by `exit` as well
    this.ready = new Promise((resolve, reject) => {
      this.#child.on('exit', (code) => this.#fail(reject, `ended with ${code}: ${this.#errors.slice(-800)}`));
      this.#child.on('error', (error) => this.#fail(reject, String(error)));
      readline
        .createInterface({ input: this.#child.stdout })
        .on('line', (line) => this.#receive(JSON.parse(line), resolve, reject));
    });
    this.ready.catch(() => {}); // whoever awaits `ready` hears of it
  }

  // Calls a function of page.js.
  call(name, ...values) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.name}: ${name} took too long`)), CALL_LIMIT_MS);
      this.#pending.set(id, { resolve, reject, timer });
      this.#child.stdin.write(`${JSON.stringify({ id, call: name, arguments: values })}\n`);
    });
  }

  // Ends the browser; kills the process where it does not listen.
  async quit() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.on('exit', resolve));
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), QUIT_LIMIT_MS);
    await ended;
    clearTimeout(timer);
  }

  #receive(message, ready, fatal) {
    if (message.ready) return ready(message.ready);
    if (message.fatal) return this.#fail(fatal, message.fatal);
    const { resolve, reject, timer } = this.#pending.get(message.id) ?? {};
    this.#pending.delete(message.id);
    clearTimeout(timer);
    if (message.error) reject?.(new Error(`${this.name}: ${message.error}`));
    else resolve?.(message.result);
  }

  #fail(reject, reason) {
    const error = new Error(`${this.name}: ${reason}`);
    reject(error);
    for (const { reject: rejectCall, timer } of this.#pending.values()) {
      clearTimeout(timer);
      rejectCall(error);
    }
    this.#pending.clear();
  }
}
