/**
 * A record's place in its chain, read from the bytes of its line without parsing it: records are canonical, so their members stand in a known
 * order, and inside a JSON string every quote is escaped, so that these patterns match only where the record itself has them.
 */
import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';

export interface Link {
  /** 64 hexadecimal digits, as the line says. */
  readonly hash: string;
  /** What the line's bytes hash to without `chain.hash`. */
  readonly computed: string;
  readonly chainId: string;
  readonly prev: string;
  readonly seq: number;
  /** Unix milliseconds. */
  readonly timeMs: number;
  /** The record ends its chain. */
  readonly isEnd: boolean;
  /** UID of the pod; empty outside a cluster. */
  readonly instanceUid: string;
}

const CHAIN = Buffer.from('"chain":{"hash":"sha256:');
const HASH_START = '"chain":{'.length;
const HASH_MEMBER_BYTES = '"hash":"sha256:'.length + 66;
/** The members of the chain behind its hash. */
const AFTER_HASH = '","id":"';
const PREV_START = '","prev":"sha256:';
const SEQ_START = '","seq":';
const ID = /^[^"\\]{1,64}$/;
const SEQ = /([1-9]\d{0,15})\}/y;
const PLACE_BYTES = 320;
/** Most records have their chain within so many bytes of their end. */
const USUAL_TAIL_BYTES = 512;
/** Time and source stand shortly before the chain. */
const BEFORE_BYTES = 320;
const INSTANCE = '"src_endpoint":{"instance_uid":"';
const TIME = /"time":(\d{1,15}),/y;
const TIME_START = '"time":';
const END = '"phase":"session","reason":"process_end"}}';
const QUOTE = 0x22;

let scratch = Buffer.allocUnsafeSlow(16 * 1024);

/** Reads the line in `bytes[start, end)`, without its line end; undefined: it is no record of a chain. */
export function readLink(bytes: Buffer, start: number, end: number): Link | undefined {
  // Only this line: a search that does not find what it looks for must not go through all that follows.
  const line = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
  const chain = findChain(line);
  if (chain < 0) return undefined;
  const from = Math.max(0, chain - BEFORE_BYTES);
  const text = line.toString('latin1', from, Math.min(line.length, chain + PLACE_BYTES));
  const place = readPlace(text, chain - from + CHAIN.length);
  TIME.lastIndex = text.lastIndexOf(TIME_START, chain - from);
  const time = TIME.lastIndex < 0 ? null : TIME.exec(text);
  if (place === undefined || time === null) return undefined;
  return {
    ...place,
    computed: hashWithout(line, chain + HASH_START),
    timeMs: Number(time[1]),
    isEnd: line[line.length - 3] === QUOTE && line.toString('latin1', line.length - END.length) === END,
    instanceUid: readInstance(text, chain - from) ?? readInstance(line.toString('latin1', 0, chain), chain) ?? '',
  };
}

function findChain(line: Buffer): number {
  const usual = line.length > USUAL_TAIL_BYTES ? line.indexOf(CHAIN, line.length - USUAL_TAIL_BYTES) : -1;
  return usual < 0 ? line.indexOf(CHAIN) : usual;
}

/** `at`: where the digits of the hash begin. Every byte between hash and number is accounted for: part of them is not hashed. */
function readPlace(text: string, at: number): Pick<Link, 'hash' | 'chainId' | 'prev' | 'seq'> | undefined {
  const hashEnd = at + 64;
  const idStart = hashEnd + AFTER_HASH.length;
  const idEnd = text.indexOf('"', idStart);
  const prevStart = idEnd + PREV_START.length;
  const prevEnd = prevStart + 64;
  if (idEnd < 0 || !text.startsWith(AFTER_HASH, hashEnd)) return undefined;
  if (!text.startsWith(PREV_START, idEnd) || !text.startsWith(SEQ_START, prevEnd)) return undefined;
  SEQ.lastIndex = prevEnd + SEQ_START.length;
  const seq = SEQ.exec(text);
  const [hash, chainId, prev] = [text.slice(at, hashEnd), text.slice(idStart, idEnd), text.slice(prevStart, prevEnd)];
  // Whether the hashes are hexadecimal need not be asked: one is compared with what it must be, the other is hashed.
  if (seq === null || !ID.test(chainId)) return undefined;
  return { hash, chainId, prev, seq: Number(seq[1]) };
}

function hashWithout(line: Buffer, middle: number): string {
  const length = line.length - HASH_MEMBER_BYTES;
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length * 2);
  line.copy(scratch, 0, 0, middle);
  line.copy(scratch, middle, middle + HASH_MEMBER_BYTES);
  return hash('sha256', scratch.subarray(0, length), 'hex');
}

function readInstance(text: string, chain: number): string | undefined {
  const at = text.lastIndexOf(INSTANCE, chain);
  if (at < 0) return undefined;
  const from = at + INSTANCE.length;
  return text.slice(from, text.indexOf('"', from));
}
