/**
 * The one file that touches libpg-query: PostgreSQL's own grammar as WASM. Text → the tree or the tokens, as the JSON text it prints:
 * reading that JSON takes longer than the parse, and the proof of a rewriting needs no more than the text. The package's own functions
 * always read it.
 */
import { Buffer } from 'node:buffer';

type GrammarModule = Awaited<ReturnType<typeof import('libpg-query/wasm/libpg-query.js').default>>;

/** The text does not parse. `position` is the 0-based character (code point) offset, -1 if unknown. */
export class GrammarError extends Error {
  readonly position: number;
  constructor(message: string, position: number) {
    super(message);
    this.position = position;
  }
}

let module: GrammarModule | undefined;

/** Loads the WASM once; call it at start-up, before the first parse. */
export async function loadGrammar(): Promise<void> {
  if (module !== undefined) return;
  const { default: load } = await import('libpg-query/wasm/libpg-query.js');
  module = await load();
}

function loaded(): GrammarModule {
  if (module === undefined) throw new Error('loadParser() has not been awaited');
  return module;
}

/** The bytes of the memory as they are now: a view made before a call is dead once the memory has grown. */
function bytesOf(grammar: GrammarModule): Buffer {
  const { buffer, byteOffset, byteLength } = grammar.HEAPU8;
  return Buffer.from(buffer, byteOffset, byteLength);
}

function withText<T>(grammar: GrammarModule, text: string, use: (address: number) => T): T {
  const byteLength = Buffer.byteLength(text);
  const address = grammar._malloc(byteLength + 1);
  if (address === 0) throw new Error('the parser has no memory');
  const bytes = bytesOf(grammar);
  bytes.write(text, address, byteLength, 'utf8');
  bytes[address + byteLength] = 0;
  const answer = use(address);
  grammar._free(address);
  return answer;
}

function stringAt(bytes: Buffer, address: number): string {
  const end = bytes.indexOf(0, address);
  if (end < 0) throw new Error('the parser gave no text');
  return bytes.toString('utf8', address, end);
}

function readTree(bytes: Buffer, result: number): string | GrammarError {
  const tree = bytes.readUInt32LE(result);
  const error = bytes.readUInt32LE(result + 8);
  if (error !== 0) {
    const message = bytes.readUInt32LE(error);
    const cursor = bytes.readInt32LE(error + 16);
    return new GrammarError(message === 0 ? 'unknown error' : stringAt(bytes, message), Math.max(cursor - 1, 0));
  }
  if (tree === 0) throw new Error('the parser gave no tree');
  return stringAt(bytes, tree);
}

/** The tree of a text without NUL, as JSON. Throws GrammarError, or whatever WASM throws when its stack or memory ends. */
export function printTree(text: string): string {
  const grammar = loaded();
  const answer = withText(grammar, text, (address) => {
    const result = grammar._wasm_parse_query_raw(address);
    if (result === 0) throw new Error('the parser has no memory');
    const tree = readTree(bytesOf(grammar), result);
    grammar._wasm_free_parse_result(result);
    return tree;
  });
  if (typeof answer !== 'string') throw answer;
  return answer;
}

/** The tokens of a text without NUL, as JSON; not JSON where the scanner could not read it to its end. */
export function printTokens(text: string): string {
  const grammar = loaded();
  return withText(grammar, text, (address) => {
    const result = grammar._wasm_scan(address);
    if (result === 0) throw new Error('the parser has no memory');
    const tokens = stringAt(bytesOf(grammar), result);
    grammar._wasm_free_string(result);
    return tokens;
  });
}
