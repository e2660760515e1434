/**
 * Checking records: line after line, every chain by itself. Finds a changed, missing, repeated, reordered or cut-off line, a missing
 * heartbeat and a chain without an end. Pure: lines in, findings out. Inserted lines are found because they belong to no chain.
 */
import { Buffer } from 'node:buffer';
import { hash as digest } from 'node:crypto';
import { FIRST_PREV } from './chain.ts';

export type FindingKind =
  | 'changed'
  | 'missing'
  | 'repeated'
  | 'reordered'
  | 'cut_off'
  | 'unreadable'
  | 'silent'
  | 'unclosed';

export interface Finding {
  readonly kind: FindingKind;
  /** Name of the file and number of the line, from 1. */
  readonly file: string;
  readonly line: number;
  readonly chain: string | undefined;
  readonly seq: number | undefined;
  readonly message: string;
}

interface ChainProgress {
  seq: number;
  prev: string;
  timeMs: number;
  file: string;
  line: number;
  closed: boolean;
  readonly seen: Set<number>;
}

export interface VerifyState {
  readonly chains: Map<string, ChainProgress>;
  readonly findings: Finding[];
  records: number;
}

export function newVerifyState(): VerifyState {
  return { chains: new Map(), findings: [], records: 0 };
}

/** A heartbeat comes every 10 s; three in a row may be late on a busy node. */
const MAX_SILENCE_MS = 40_000;
const HASH = /"chain":\{"hash":"(sha256:[0-9a-f]{64})","id":"([^"\\]+)","prev":"(sha256:[0-9a-f]{64})","seq":(\d+)\}/;

interface Place {
  readonly file: string;
  readonly line: number;
}

interface Link {
  readonly hash: string;
  readonly id: string;
  readonly prev: string;
  readonly seq: number;
  readonly timeMs: number;
  readonly isEnd: boolean;
  readonly computed: string;
}

/** Inside a JSON string every quote is escaped, so the pattern matches only where the record itself has it. */
function readLink(line: string): Link | undefined {
  const match = HASH.exec(line);
  if (match === null) return undefined;
  const [, hash = '', id = '', prev = '', seq = ''] = match;
  const at = match.index + '"chain":{'.length;
  const without = line.slice(0, at) + line.slice(at + `"hash":"${hash}",`.length);
  const time = /"time":(\d+),"type_uid"/.exec(line)?.[1];
  return {
    hash,
    id,
    prev,
    seq: Number(seq),
    timeMs: Number(time ?? Number.NaN),
    isEnd: line.includes('"phase":"session","reason":"process_end"'),
    computed: `sha256:${digest('sha256', Buffer.from(without, 'latin1'))}`,
  };
}

function add(
  state: VerifyState,
  kind: FindingKind,
  place: Place,
  link: Pick<Link, 'id' | 'seq'> | undefined,
  message: string,
): void {
  state.findings.push({ kind, file: place.file, line: place.line, chain: link?.id, seq: link?.seq, message });
}

/** Checks the next line of a file (without its line end, each byte as one character: what is hashed is bytes). `isTerminated`: a line end followed it. */
export function verifyLine(state: VerifyState, line: string, place: Place, isTerminated: boolean): void {
  if (line === '' && isTerminated) return add(state, 'unreadable', place, undefined, 'empty line');
  const link = readLink(line);
  const whole = isTerminated && line.startsWith('{') && line.endsWith('}');
  if (!whole) return add(state, 'cut_off', place, link, 'the line is cut off');
  if (link === undefined || Number.isNaN(link.timeMs))
    return add(state, 'unreadable', place, undefined, 'no record of a chain: it was not written by Postern');
  state.records += 1;
  if (link.computed !== link.hash)
    add(state, 'changed', place, link, `record ${link.seq} was changed: its hash does not fit`);
  follow(state, link, place);
}

function follow(state: VerifyState, link: Link, place: Place): void {
  const chain = state.chains.get(link.id);
  if (chain === undefined) {
    if (link.seq !== 1) add(state, 'missing', place, link, `records 1 to ${link.seq - 1} are missing`);
    else if (link.prev !== FIRST_PREV) add(state, 'changed', place, link, 'record 1 names a record before it');
    state.chains.set(link.id, {
      seq: link.seq,
      prev: link.hash,
      timeMs: link.timeMs,
      ...place,
      closed: link.isEnd,
      seen: new Set([link.seq]),
    });
    return;
  }
  if (chain.seen.has(link.seq)) return add(state, 'repeated', place, link, `record ${link.seq} occurs again`);
  if (link.seq <= chain.seq) {
    chain.seen.add(link.seq);
    return add(state, 'reordered', place, link, `record ${link.seq} stands behind record ${chain.seq}`);
  }
  if (chain.closed) add(state, 'changed', place, link, `record ${link.seq} stands behind the end of its chain`);
  if (link.seq > chain.seq + 1) add(state, 'missing', place, link, missingText(chain.seq + 1, link.seq - 1));
  else if (link.prev !== chain.prev)
    add(state, 'changed', place, link, `record ${link.seq} does not follow record ${chain.seq} as it stands`);
  if (link.timeMs - chain.timeMs > MAX_SILENCE_MS)
    add(
      state,
      'silent',
      place,
      link,
      `no heartbeat for ${Math.round((link.timeMs - chain.timeMs) / 1000)} s before record ${link.seq}`,
    );
  // Only what came in order need be remembered one by one around a disturbance; a few thousand numbers bound the memory.
  if (chain.seen.size > 4_096) chain.seen.clear();
  chain.seen.add(link.seq);
  Object.assign(chain, {
    seq: link.seq,
    prev: link.hash,
    timeMs: link.timeMs,
    file: place.file,
    line: place.line,
    closed: link.isEnd,
  });
}

function missingText(first: number, last: number): string {
  return first === last ? `record ${first} is missing` : `records ${first} to ${last} are missing`;
}

/** Ends the check: names every chain without an end. `acceptOpen`: a process that still runs has none yet. */
export function finishVerify(state: VerifyState, acceptOpen: boolean): readonly Finding[] {
  if (!acceptOpen) {
    for (const [id, chain] of state.chains) {
      if (chain.closed) continue;
      add(
        state,
        'unclosed',
        chain,
        { id, seq: chain.seq },
        `the chain is unclosed after record ${chain.seq}: what came later, if anything, is lost`,
      );
    }
  }
  return state.findings;
}
