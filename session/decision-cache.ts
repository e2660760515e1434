import { Buffer } from 'node:buffer';
import type { SessionNames } from '#sql/access.ts';
import type { TextPiece } from '#sql/analysis.ts';
import { ShapeReader } from '#sql/shape.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { type DecidedText, printPieces } from './decided-text.ts';

/** A cached answer for one text: what was decided, and the text to send (`undefined`: the agent's bytes as they are). */
export interface CacheHit {
  readonly decided: DecidedText;
  readonly forward: Buffer | undefined;
  /** Pieces in offsets of this very text (for error positions); `undefined`: unchanged. */
  readonly pieces: () => readonly TextPiece[] | undefined;
  readonly result: 'exact' | 'shape';
}

interface Entry {
  readonly decided: DecidedText;
  readonly bytes: number;
  used: boolean;
  remove(): void;
}

interface ExactEntry extends Entry {
  readonly forward: Buffer | undefined;
}

/** One text of a shape; serves all others whose sensitive literals are the same. */
interface ShapeEntry extends Entry {
  /** Ends of the literals in the text it was made from. */
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly sensitive: readonly { readonly index: number; readonly value: Buffer }[];
  readonly segments: readonly Segment[] | undefined;
}

/** A constant, or a range of the agent's text whose offsets move with the literals before them. */
type Segment =
  | { readonly insert: Buffer }
  | { readonly start: number; readonly end: number; readonly startShift: number; readonly endShift: number };

/** Texts decided under one policy and one state of the session's names. */
class Bucket {
  readonly exact = new Map<string, ExactEntry>();
  readonly shapes = new Map<string, ShapeEntry[]>();
}

const MAX_VARIANTS = 8;
const ENTRY_OVERHEAD_BYTES = 2048;
const TRANSACTION_EFFECTS: ReadonlySet<string> = new Set([
  'begin',
  'commit',
  'rollback',
  'savepoint',
  'release',
  'rollbackTo',
]);

/**
 * Decisions by exact text, and by text with its literals cut out (sql/shape.ts) where the decision does not depend on them. Entries
 * live under the EffectivePolicy instance and the session names they were made for, so that nothing has to be invalidated. Bounded in
 * bytes and count over all of them; the least recently used go first (second-chance).
 */
export class DecisionCache {
  readonly #maxBytes: number;
  readonly #maxEntries: number;
  readonly #buckets = new WeakMap<EffectivePolicy, Map<string, Bucket>>();
  readonly #entries = new Set<Entry>();
  readonly #reader = new ShapeReader();
  #bytes = 0;
  #lastPolicy: EffectivePolicy | undefined;
  #lastNames: SessionNames | undefined;
  #lastBucket: Bucket | undefined;

  constructor(limits: { readonly maxBytes: number; readonly maxEntries: number }) {
    this.#maxBytes = limits.maxBytes;
    this.#maxEntries = limits.maxEntries;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The answer for the text in `buffer[start, end)`. `types` is the key of a Parse's parameter types, `''` for none. `exactText` is asked
   * for only when the shape does not answer; it may throw.
   */
  find(lookup: TextLookup): CacheHit | undefined {
    const bucket = this.#bucket(lookup.policy, lookup.names);
    const shape = this.#reader.read(lookup.buffer, lookup.start, lookup.end);
    if (shape !== undefined) {
      const variants = bucket.shapes.get(lookup.types === '' ? shape : `${lookup.types}\0${shape}`);
      if (variants !== undefined) {
        const hit = this.#matchVariant(variants, lookup);
        if (hit !== undefined) return hit;
      }
    }
    const entry = bucket.exact.get(exactKey(lookup));
    if (entry === undefined) return undefined;
    entry.used = true;
    const { decided, forward } = entry;
    return { decided, forward, pieces: () => decided.pieces, result: 'exact' };
  }

  /** Remembers an answer and gives it back as a hit. */
  add(lookup: TextLookup, decided: DecidedText): CacheHit {
    const forward = decided.pieces === undefined ? undefined : printPieces(lookup.text(), decided.pieces);
    const bucket = this.#bucket(lookup.policy, lookup.names);
    if (!this.#addShape(bucket, lookup, decided)) this.#addExact(bucket, lookup, decided, forward);
    this.#evict();
    return { decided, forward, pieces: () => decided.pieces, result: 'exact' };
  }

  #bucket(policy: EffectivePolicy, names: SessionNames): Bucket {
    if (this.#lastBucket !== undefined && this.#lastPolicy === policy && this.#lastNames === names)
      return this.#lastBucket;
    let byNames = this.#buckets.get(policy);
    if (byNames === undefined) {
      byNames = new Map();
      this.#buckets.set(policy, byNames);
    }
    const fingerprint = fingerprintNames(names);
    let bucket = byNames.get(fingerprint);
    if (bucket === undefined) {
      if (byNames.size >= MAX_NAME_STATES) this.#dropNameStates(byNames);
      bucket = new Bucket();
      byNames.set(fingerprint, bucket);
    }
    this.#lastPolicy = policy;
    this.#lastNames = names;
    this.#lastBucket = bucket;
    return bucket;
  }

  /** Sessions with ever new temporary tables or cursors must not pile up buckets. */
  #dropNameStates(byNames: Map<string, Bucket>): void {
    for (const bucket of byNames.values()) {
      for (const entry of bucket.exact.values()) this.#forget(entry);
      for (const variants of bucket.shapes.values()) for (const entry of variants) this.#forget(entry);
    }
    byNames.clear();
  }

  #forget(entry: Entry): void {
    if (this.#entries.delete(entry)) this.#bytes -= entry.bytes;
  }

  #matchVariant(variants: readonly ShapeEntry[], lookup: TextLookup): CacheHit | undefined {
    for (const entry of variants) {
      if (!this.#sameSensitive(entry, lookup)) continue;
      entry.used = true;
      const { decided, segments, starts, ends } = entry;
      if (segments === undefined) return { decided, forward: undefined, pieces: NO_PIECES, result: 'shape' };
      const shifts = this.#shifts(entry);
      return {
        decided,
        forward: printSegments(segments, shifts, lookup),
        pieces: () => shiftPieces(decided.pieces ?? [], starts, ends, shifts),
        result: 'shape',
      };
    }
    return undefined;
  }

  #sameSensitive(entry: ShapeEntry, lookup: TextLookup): boolean {
    const reader = this.#reader;
    for (const { index, value } of entry.sensitive) {
      const start = lookup.start + (reader.starts[index] as number);
      const end = lookup.start + (reader.ends[index] as number);
      if (end - start !== value.length) return false;
      for (let offset = 0; offset < value.length; offset++) {
        if (lookup.buffer[start + offset] !== value[offset]) return false;
      }
    }
    return true;
  }

  /** How far an offset behind the n-th literal has moved: index 0 is before the first. */
  #shifts(entry: ShapeEntry): readonly number[] {
    const shifts = [0];
    for (let index = 0; index < entry.ends.length; index++) {
      shifts.push((this.#reader.ends[index] as number) - (entry.ends[index] as number));
    }
    return shifts;
  }

  #addShape(bucket: Bucket, lookup: TextLookup, decided: DecidedText): boolean {
    const sensitiveOffsets = decided.decision.sensitiveLiterals;
    if (decided.denial !== undefined || decided.observed || sensitiveOffsets === undefined) return false;
    if (decided.effects.some((effect) => !TRANSACTION_EFFECTS.has(effect.kind))) return false;
    const reader = this.#reader;
    const shape = reader.read(lookup.buffer, lookup.start, lookup.end);
    if (shape === undefined) return false;
    const starts = [...reader.starts.subarray(0, reader.literalCount)];
    const ends = [...reader.ends.subarray(0, reader.literalCount)];
    const segments = decided.pieces === undefined ? undefined : cutSegments(decided.pieces, starts, ends);
    if (segments === 'uncertain') return false;
    const sensitive = starts.flatMap((start, index) => {
      // A literal that is not copied with its surroundings stands in text of ours, if anywhere.
      const end = ends[index] as number;
      if (!sensitiveOffsets.has(start) && isCopied(start, end, decided.pieces)) return [];
      const value = lookup.buffer.subarray(lookup.start + start, lookup.start + end);
      return [{ index, value: Buffer.from(value) }];
    });
    const key = lookup.types === '' ? shape : `${lookup.types}\0${shape}`;
    const variants = bucket.shapes.get(key) ?? [];
    if (variants.length >= MAX_VARIANTS) return false;
    if (variants.length === 0) bucket.shapes.set(key, variants);
    const entry: ShapeEntry = {
      decided,
      starts,
      ends,
      sensitive,
      segments,
      used: false,
      bytes: ENTRY_OVERHEAD_BYTES + key.length * 2 + segmentBytes(segments),
      remove: () => {
        variants.splice(variants.indexOf(entry), 1);
        if (variants.length === 0) bucket.shapes.delete(key);
      },
    };
    variants.push(entry);
    this.#remember(entry);
    return true;
  }

  #addExact(bucket: Bucket, lookup: TextLookup, decided: DecidedText, forward: Buffer | undefined): void {
    const key = exactKey(lookup);
    const old = bucket.exact.get(key);
    if (old !== undefined) this.#forget(old);
    const entry: ExactEntry = {
      decided,
      forward,
      used: false,
      bytes: ENTRY_OVERHEAD_BYTES + key.length * 2 + (forward?.length ?? 0),
      remove: () => {
        if (bucket.exact.get(key) === entry) bucket.exact.delete(key);
      },
    };
    if (entry.bytes > this.#maxBytes / 8) return;
    bucket.exact.set(key, entry);
    this.#remember(entry);
  }

  #remember(entry: Entry): void {
    this.#entries.add(entry);
    this.#bytes += entry.bytes;
  }

  #evict(): void {
    for (const entry of this.#entries) {
      if (this.#bytes <= this.#maxBytes && this.#entries.size <= this.#maxEntries) return;
      if (entry.used) {
        entry.used = false;
        this.#entries.delete(entry);
        this.#entries.add(entry);
        continue;
      }
      this.#forget(entry);
      entry.remove();
    }
  }
}

const MAX_NAME_STATES = 256;
const NO_PIECES = (): undefined => undefined;

export interface TextLookup {
  readonly policy: EffectivePolicy;
  readonly names: SessionNames;
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
  readonly types: string;
  /** The text decoded; asked for only when the shape does not answer. */
  readonly text: () => string;
}

function exactKey(lookup: TextLookup): string {
  return lookup.types === '' ? lookup.text() : `${lookup.types}\0${lookup.text()}`;
}

function isCopied(start: number, end: number, pieces: readonly TextPiece[] | undefined): boolean {
  if (pieces === undefined) return true;
  return pieces.some((piece) => !('insert' in piece) && piece.start <= start && end <= piece.end);
}

/** How many literals end at or before the offset; -1 where it lies inside one. */
function literalsBefore(offset: number, starts: readonly number[], ends: readonly number[]): number {
  let count = 0;
  while (count < ends.length && (ends[count] as number) <= offset) count++;
  const start = starts[count];
  return start !== undefined && start < offset ? -1 : count;
}

function cutSegments(
  pieces: readonly TextPiece[],
  starts: readonly number[],
  ends: readonly number[],
): readonly Segment[] | 'uncertain' {
  const segments: Segment[] = [];
  for (const piece of pieces) {
    if ('insert' in piece) {
      segments.push({ insert: Buffer.from(piece.insert, 'utf8') });
      continue;
    }
    const startShift = literalsBefore(piece.start, starts, ends);
    const endShift = literalsBefore(piece.end, starts, ends);
    if (startShift < 0 || endShift < 0) return 'uncertain';
    segments.push({ start: piece.start, end: piece.end, startShift, endShift });
  }
  return segments;
}

function segmentBytes(segments: readonly Segment[] | undefined): number {
  return (segments ?? []).reduce((sum, segment) => sum + 80 + ('insert' in segment ? segment.insert.length : 0), 0);
}

function printSegments(segments: readonly Segment[], shifts: readonly number[], lookup: TextLookup): Buffer {
  let length = 0;
  for (const segment of segments) {
    length +=
      'insert' in segment
        ? segment.insert.length
        : segment.end + (shifts[segment.endShift] as number) - segment.start - (shifts[segment.startShift] as number);
  }
  const printed = Buffer.allocUnsafe(length);
  let position = 0;
  for (const segment of segments) {
    if ('insert' in segment) {
      position += segment.insert.copy(printed, position);
      continue;
    }
    const start = lookup.start + segment.start + (shifts[segment.startShift] as number);
    const end = lookup.start + segment.end + (shifts[segment.endShift] as number);
    position += lookup.buffer.copy(printed, position, start, end);
  }
  return printed;
}

function shiftPieces(
  pieces: readonly TextPiece[],
  starts: readonly number[],
  ends: readonly number[],
  shifts: readonly number[],
): readonly TextPiece[] {
  const move = (offset: number): number =>
    offset + (shifts[Math.max(literalsBefore(offset, starts, ends), 0)] as number);
  return pieces.map((piece) => ('insert' in piece ? piece : { start: move(piece.start), end: move(piece.end) }));
}

const fingerprints = new WeakMap<SessionNames, string>();

/** Equal for session states under which every text is decided alike. */
export function fingerprintNames(names: SessionNames): string {
  const known = fingerprints.get(names);
  if (known !== undefined) return known;
  const fingerprint = JSON.stringify([
    names.searchPath,
    [...names.temporaryRelations.values()].map((relation) => [relation.name, relation.columns ?? null]),
    [...names.cursors].map(([name, cursor]) => [name, cursor.generation, cursor.relationOids]),
    [...names.preparedStatements].map(([name, p]) => [name, p.text, p.rewritten, p.generation]),
  ]);
  fingerprints.set(names, fingerprint);
  return fingerprint;
}
