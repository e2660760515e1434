/** How the JavaScript engine is set up for a process that shall stay small. What is set here holds for the whole process. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * To be called first of all, before the parser is loaded. Without it V8 optimizes the grammar of PostgreSQL after some dozen tokens, and
 * one function of it is so large that this leaves 30 MB in the process; with this budget it waits for some hundred texts. What runs
 * once to read policies and the catalog is not optimized at all: measured, that costs 8 MB and saves no time.
 */
export function beginStart(): void {
  setFlagsFromString('--wasm-tiering-budget=1000000000');
  setFlagsFromString('--no-maglev');
  setFlagsFromString('--no-opt');
}

/** To be called when the catalog is read: from here on code is optimized, and what reading has left is given back (measured: 14 MB). */
export function finishStart(): void {
  setFlagsFromString('--opt');
  setFlagsFromString('--maglev');
  setFlagsFromString('--expose-gc');
  runInNewContext("gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })");
  setFlagsFromString('--no-expose-gc');
}
