/**
 * The second half of a check: runs of records from any number of objects, in any order across objects, → what is missing, changed, repeated,
 * reordered or cut off in every chain. Holds a few numbers for each unbroken stretch of a chain, never its records. Pure.
 *
 * Why that is enough: inside a run every record names the hash of the one before, so two runs that agree in one hash agree in all records
 * before it. Copies that end at different records can only be compared by the hash of a record inside a run: `wanted` names those records,
 * and a second reading of the objects brings them (`compare`).
 */
import { type Finding, FindingList } from './finding.ts';
import { type GapNote, type Run, type Scan, silenceBefore } from './line-scan.ts';

export interface VerifyOptions {
  /** The same record twice is a finding: one file written by one process, not objects that are sent at least once. */
  readonly isRepeatFinding: boolean;
}

/** An unbroken stretch, from one run or from many. */
interface Span {
  readonly first: number;
  readonly firstPrev: string;
  readonly firstTimeMs: number;
  /** Where the first record stands. */
  readonly file: string;
  readonly line: number;
  readonly last: number;
  readonly lastHash: string;
  readonly lastTimeMs: number;
  readonly lastFile: string;
  readonly lastLine: number;
  readonly isEnd: boolean;
}

interface Chain {
  readonly id: string;
  instanceUid: string;
  /** By number; never overlapping, never touching. */
  readonly spans: Span[];
  readonly backward: Span[];
}

export interface Resumed {
  readonly chain: string;
  /** The chain that it goes on from, and the last record found there. */
  readonly after: { readonly chain: string; readonly seq: number };
}

export interface Verdict {
  readonly records: number;
  readonly chains: number;
  readonly findings: readonly Finding[];
  /** All of them; `findings` holds the first ten thousand. */
  readonly findingCount: number;
  readonly resumed: readonly Resumed[];
  /** Gap records of other kinds: what the process itself says is not in the chain. */
  readonly gaps: readonly GapNote[];
}

const FIRST_DIGITS = '0'.repeat(64);

export class ChainSet {
  readonly #options: VerifyOptions;
  readonly #chains = new Map<string, Chain>();
  readonly #findings = new FindingList();
  readonly #gaps: GapNote[] = [];
  readonly #wanted = new Map<string, Map<number, string | undefined>>();
  #records = 0;

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  get records(): number {
    return this.#records;
  }

  /** Takes what one object holds; `file` is its name, `lineOffset` the lines of the file before the scanned part. */
  add(scan: Scan, file: string, lineOffset = 0): void {
    this.#records += scan.records;
    const moved = scan.findings.map((finding) => ({ ...finding, file, line: finding.line + lineOffset }));
    this.#findings.addAll(moved, scan.findingCount);
    for (const gap of scan.gaps) this.#gaps.push(gap);
    for (const run of scan.runs) {
      const chain = this.#chainOf(run);
      const span = spanOf(run, file, lineOffset);
      // Parts of one file come one after another: the parts before this one may hold the same numbers.
      const isBehind =
        lineOffset > 0 && chain.spans.some((other) => other.lastFile === file && other.last >= run.first);
      if (run.isBackward || isBehind) chain.backward.push(span);
      else this.#insert(chain, span);
    }
  }

  /** After the last object: what was out of order is a copy, or was moved. */
  settle(): void {
    for (const chain of this.#chains.values()) {
      for (const span of chain.backward.splice(0)) this.#settleBackward(chain, span);
    }
  }

  /** Chain → numbers of the records whose hash has to be read again before `finish`. Empty: none. */
  get wanted(): ReadonlyMap<string, ReadonlyMap<number, string | undefined>> {
    return this.#wanted;
  }

  /** A hash of a wanted record, from wherever it stands. */
  compare(chain: string, seq: number, hash: string, file: string, line: number): void {
    const hashes = this.#wanted.get(chain);
    if (hashes === undefined || !hashes.has(seq)) return;
    const known = hashes.get(seq);
    if (known === undefined) hashes.set(seq, hash);
    else if (known !== hash) this.#find('changed', { file, line }, chain, seq, twoForms(seq));
  }

  /** Ends the check. `acceptOpen`: a process that still runs has not ended its chain yet. */
  finish(acceptOpen: boolean): Verdict {
    this.settle();
    const resumed = this.#readResumed();
    for (const chain of this.#chains.values()) this.#finishChain(chain, acceptOpen, resumed);
    for (const [id, { chain, after }] of resumed) {
      if (this.#chains.has(id)) continue;
      const place = this.#chains.get(chain)?.spans[0] ?? { file: '', line: 0 };
      this.#find(
        'missing',
        place,
        id,
        after.seq,
        `the whole chain is missing: chain ${chain} goes on after its record ${after.seq}`,
      );
    }
    return {
      records: this.#records,
      chains: this.#chains.size,
      findings: this.#findings.kept,
      findingCount: this.#findings.count,
      resumed: [...resumed.values()],
      gaps: this.#gaps.filter(({ reason }) => reason !== 'resumed'),
    };
  }

  #chainOf(run: Run): Chain {
    let chain = this.#chains.get(run.chain);
    if (chain === undefined) {
      chain = { id: run.chain, instanceUid: run.instanceUid, spans: [], backward: [] };
      this.#chains.set(run.chain, chain);
    }
    return chain;
  }

  #insert(chain: Chain, added: Span): void {
    const { spans } = chain;
    const from = firstTouching(spans, added.first);
    let to = from;
    let span = added;
    for (let next = spans[to]; next !== undefined && next.first <= span.last + 1; next = spans[to]) {
      span =
        next.last + 1 === span.first || span.last + 1 === next.first
          ? this.#join(chain, next, span)
          : this.#lay(chain, next, span);
      to += 1;
    }
    spans.splice(from, to - from, span);
  }

  /** Two stretches, one right behind the other. */
  #join(chain: Chain, one: Span, other: Span): Span {
    const [left, right] = one.first < other.first ? [one, other] : [other, one];
    const seq = right.first;
    if (left.isEnd) this.#find('changed', right, chain.id, seq, `record ${seq} stands behind the end of its chain`);
    if (right.firstPrev !== left.lastHash)
      this.#find('changed', right, chain.id, seq, `record ${seq} does not follow record ${left.last} as it stands`);
    const silence = silenceBefore(left.lastTimeMs, right.firstTimeMs, seq);
    if (silence !== undefined) this.#find('silent', right, chain.id, seq, silence);
    return union(left, right);
  }

  /** Two stretches with records in common. */
  #lay(chain: Chain, known: Span, added: Span): Span {
    const first = Math.max(known.first, added.first);
    const last = Math.min(known.last, added.last);
    if (this.#options.isRepeatFinding)
      this.#find('repeated', added, chain.id, first, `${recordsText(first, last)} again`);
    if (known.last !== added.last) this.#want(chain.id, last);
    else if (known.lastHash !== added.lastHash) this.#find('changed', added, chain.id, last, twoForms(last));
    return known.first <= added.first ? union(known, added) : union(added, known);
  }

  #want(chain: string, seq: number): void {
    let hashes = this.#wanted.get(chain);
    if (hashes === undefined) this.#wanted.set(chain, (hashes = new Map<number, string | undefined>()));
    hashes.set(seq, undefined);
  }

  #settleBackward(chain: Chain, span: Span): void {
    const cover = chain.spans.find(({ first, last }) => first <= span.first && span.last <= last);
    if (cover === undefined) {
      const before = chain.spans.findLast(({ last, lastFile }) => last >= span.first && lastFile === span.file)?.last;
      const where = before === undefined ? 'out of its order' : `behind record ${before}`;
      this.#find('reordered', span, chain.id, span.first, `record ${span.first} stands ${where}`);
    }
    this.#insert(chain, span);
  }

  /** Which chains go on from which. A claim counts only for chains of the same pod. */
  #readResumed(): ReadonlyMap<string, Resumed> {
    const resumed = new Map<string, Resumed>();
    for (const { reason, after, chain, instanceUid } of this.#gaps) {
      if (reason !== 'resumed' || after === undefined || after.chain === chain) continue;
      const before = this.#chains.get(after.chain);
      if (before !== undefined && before.instanceUid !== instanceUid) continue;
      const known = resumed.get(after.chain);
      if (known === undefined || known.after.seq < after.seq) resumed.set(after.chain, { chain, after });
    }
    return resumed;
  }

  #finishChain({ id, spans }: Chain, acceptOpen: boolean, resumed: ReadonlyMap<string, Resumed>): void {
    let last = 0;
    for (const span of spans) {
      if (span.first > last + 1) this.#find('missing', span, id, span.first, missingText(last + 1, span.first - 1));
      else if (span.first === 1 && span.firstPrev !== FIRST_DIGITS)
        this.#find('changed', span, id, 1, 'record 1 names a record before it');
      last = span.last;
    }
    const end = spans.at(-1);
    if (end === undefined || end.isEnd) return;
    const place = { file: end.lastFile, line: end.lastLine };
    const next = resumed.get(id);
    if (next !== undefined && next.after.seq > end.last) {
      const text = `${missingText(end.last + 1, next.after.seq)}: chain ${next.chain} goes on after record ${next.after.seq}`;
      this.#find('missing', place, id, end.last, text);
    } else if (next === undefined && !acceptOpen) {
      const text = `the chain is unclosed after record ${end.last}: what came later, if anything, is lost`;
      this.#find('unclosed', place, id, end.last, text);
    }
  }

  #find(
    kind: Finding['kind'],
    { file, line }: Pick<Span, 'file' | 'line'>,
    chain: string,
    seq: number,
    message: string,
  ): void {
    this.#findings.add({ kind, file, line, chain, seq, message });
  }
}

function spanOf(run: Run, file: string, lineOffset: number): Span {
  const { first, firstPrev, firstTimeMs, last, lastHash, lastTimeMs, isEnd } = run;
  const place = { file, line: run.line + lineOffset, lastFile: file, lastLine: run.lastLine + lineOffset };
  return { first, firstPrev, firstTimeMs, last, lastHash, lastTimeMs, isEnd, ...place };
}

/** Index of the first stretch that overlaps or touches numbers from `seq` on. */
function firstTouching(spans: readonly Span[], seq: number): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans[middle]?.last ?? 0) + 1 < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The start of `left`, and the end of whichever ends later. */
function union(left: Span, right: Span): Span {
  const end = left.last >= right.last ? left : right;
  const { last, lastHash, lastTimeMs, lastFile, lastLine, isEnd } = end;
  return { ...left, last, lastHash, lastTimeMs, lastFile, lastLine, isEnd };
}

function twoForms(seq: number): string {
  return `record ${seq} stands in two forms: one of them, or a record before it, was changed`;
}

function recordsText(first: number, last: number): string {
  return first === last ? `record ${first} occurs` : `records ${first} to ${last} occur`;
}

function missingText(first: number, last: number): string {
  return first === last ? `record ${first} is missing` : `records ${first} to ${last} are missing`;
}
