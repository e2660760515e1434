/**
 * Whether a batch is what a sidecar may send: whole lines of one chain, in order, each its own hash, each a record of its own pod. A record is
 * parsed besides being hashed, since what is no JSON, or says two things under one name, would deceive whoever reads the objects. Pure.
 */
import { type Buffer, isUtf8 } from 'node:buffer';
import { type Link, readLink } from '#audit/link.ts';
import { hourPartition } from './layout.ts';

/** What the sender says of its batch. */
export interface BatchClaim {
  readonly chainId: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** UID of the pod that the token names. */
  readonly podUid: string;
}

/** Consecutive lines of one hour. */
export interface BatchPart {
  /** See `hourPartition`. */
  readonly partition: string;
  /** Where they stand in the batch: bytes `[start, end)`. */
  readonly start: number;
  readonly end: number;
  readonly records: number;
}

export type BatchVerdict =
  | {
      readonly kind: 'sound';
      readonly records: number;
      readonly parts: readonly BatchPart[];
      /** Reasons of the gap records in it. */
      readonly gaps: readonly string[];
    }
  | BatchRefusal;

export interface BatchRefusal {
  readonly kind: 'refused';
  readonly status: 400 | 403;
  /** CamelCase, stable. */
  readonly reason: 'Malformed' | 'ChainBroken' | 'ForeignRecord';
  readonly message: string;
}

const NEWLINE = 0x0a;
/** A batch of nothing but heartbeats spans 16 hours; one with many more has a clock that jumps, and must not make an object for each. */
const MAX_PARTS = 48;
const CLASS_UID = 6005;

/** `bytes`: NDJSON. */
export function checkBatch(bytes: Buffer, claim: BatchClaim): BatchVerdict {
  if (bytes.length === 0) return malformed('there is no record');
  if (!isUtf8(bytes)) return malformed('the body is not UTF-8');
  const parts = new PartList();
  const gaps: string[] = [];
  let start = 0;
  let seq = claim.firstSeq;
  let prev: string | undefined;
  while (start < bytes.length) {
    const end = bytes.indexOf(NEWLINE, start);
    if (end < 0) return malformed(`the line of record ${seq} is cut off`);
    const link = readLink(bytes, start, end);
    if (link === undefined) return malformed(`line ${seq - claim.firstSeq + 1} is no record`);
    const broken = checkPlace(link, { ...claim, seq, prev });
    if (broken !== undefined) return broken;
    const content = readContent(bytes.toString('utf8', start, end), link);
    if (content === undefined) return malformed(`record ${seq} is not written as Postern writes it`);
    if (content.podUid !== claim.podUid) return foreign(seq);
    if (content.gap !== undefined) gaps.push(content.gap);
    parts.add(link.timeMs, start, end + 1);
    prev = link.hash;
    seq += 1;
    start = end + 1;
  }
  if (seq !== claim.lastSeq + 1) {
    return malformed(`postern-last-seq says ${claim.lastSeq}, the last record is ${seq - 1}`);
  }
  return { kind: 'sound', records: seq - claim.firstSeq, parts: parts.end(), gaps };
}

interface Expected extends BatchClaim {
  readonly seq: number;
  /** Undefined: the first of the batch. */
  readonly prev: string | undefined;
}

function checkPlace(link: Link, { chainId, seq, prev }: Expected): BatchRefusal | undefined {
  if (link.chainId !== chainId) return broken(`record ${link.seq} is of another chain`);
  if (link.seq !== seq) return broken(`expected record ${seq}, found ${link.seq}`);
  if (link.computed !== link.hash) return broken(`record ${seq} was changed: its hash does not fit`);
  if (prev !== undefined && link.prev !== prev) return broken(`record ${seq} does not follow ${seq - 1}`);
  return undefined;
}

interface Content {
  readonly podUid: unknown;
  /** Reason of a gap record. */
  readonly gap: string | undefined;
}

type Members = Readonly<Record<string, unknown>>;

/** Undefined: it is no record, it is not in its one printed form (a name twice, white space), or it contradicts what its bytes were taken for. */
function readContent(line: string, link: Link): Content | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (JSON.stringify(value) !== line) return undefined;
  const { class_uid: classUid, time, metadata, src_endpoint: source, unmapped } = membersOf(value);
  const { chain, phase, reason } = membersOf(unmapped);
  const { hash, id, prev, seq } = membersOf(chain);
  const agrees =
    classUid === CLASS_UID &&
    time === link.timeMs &&
    typeof membersOf(metadata)['uid'] === 'string' &&
    hash === `sha256:${link.hash}` &&
    id === link.chainId &&
    prev === `sha256:${link.prev}` &&
    seq === link.seq;
  if (!agrees) return undefined;
  const gap = phase === 'gap' ? String(reason) : undefined;
  return { podUid: membersOf(source)['instance_uid'], gap };
}

function membersOf(value: unknown): Members {
  return typeof value === 'object' && value !== null ? (value as Members) : {};
}

/** Cuts a batch where the hour changes. */
class PartList {
  readonly #parts: BatchPart[] = [];
  #hour = Number.NaN;
  #start = 0;
  #end = 0;
  #timeMs = 0;
  #records = 0;

  add(timeMs: number, start: number, end: number): void {
    const hour = Math.floor(timeMs / 3_600_000);
    if (hour !== this.#hour && (this.#records === 0 || this.#parts.length < MAX_PARTS - 1)) {
      this.#cut();
      this.#hour = hour;
      this.#timeMs = timeMs;
      this.#start = start;
    }
    this.#end = end;
    this.#records += 1;
  }

  end(): readonly BatchPart[] {
    this.#cut();
    return this.#parts;
  }

  #cut(): void {
    if (this.#records === 0) return;
    const place = { start: this.#start, end: this.#end, records: this.#records };
    this.#parts.push({ partition: hourPartition(this.#timeMs), ...place });
    this.#records = 0;
  }
}

function malformed(message: string): BatchRefusal {
  return { kind: 'refused', status: 400, reason: 'Malformed', message };
}

function broken(message: string): BatchRefusal {
  return { kind: 'refused', status: 400, reason: 'ChainBroken', message };
}

function foreign(seq: number): BatchRefusal {
  return { kind: 'refused', status: 403, reason: 'ForeignRecord', message: `record ${seq} is of another pod` };
}
