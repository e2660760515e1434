/** `postern verify SOURCE`: checks the hash chains of records in files or S3, and the digests of the objects that hold them. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DigestCheck, type DigestVerdict } from '#audit/digest-check.ts';
import type { Finding } from '#audit/finding.ts';
import { ChainSet, type Verdict } from '#audit/verify.ts';
import { UsageError } from './arguments.ts';
import {
  openSource,
  partsOf,
  Progress,
  type RecordSource,
  type SourceObject,
  type StoreArguments,
} from './record-source.ts';
import { inOrder, VerifyPool } from './verify-pool.ts';
import type { ScanAnswer, ScanJob } from './verify-worker.ts';

export interface VerifyArguments extends StoreArguments {
  readonly open?: boolean;
  readonly json?: boolean;
  readonly digestKey?: readonly string[];
  readonly withoutDigests?: boolean;
}

/** Large files are cut into parts of this size, one for each thread at a time. */
const PART_BYTES = 8 * 1024 * 1024;

interface Piece {
  readonly object: SourceObject;
  readonly start: number;
  readonly end: number;
  readonly task: ScanJob['task'];
}

interface Answered extends ScanAnswer {
  readonly piece: Piece;
}

export interface SourceVerdict extends Verdict {
  /** `undefined`: digests were not looked at. */
  readonly digests: DigestVerdict | undefined;
}

/** Prints what it finds; 0 if every chain and every digest holds, 1 if not. Throws UsageError for a source that cannot be read. */
export async function runVerify(given: string, options: VerifyArguments): Promise<number> {
  const isWithout = options.withoutDigests === true;
  const keys = (options.digestKey ?? []).flatMap(readKeys);
  if (isWithout && keys.length > 0) throw new UsageError('--without-digests and --digest-key exclude each other');
  const source = await openSource(given, options);
  try {
    requireKeys(source, keys, isWithout);
    const verdict = await verifySource(source, keys, options.open === true);
    return printVerdict(verdict, options.json === true, isWithout);
  } finally {
    source.close();
  }
}

/** What lies in a bucket is proved by signed digests only: whoever can write there can also make chains. So they are not passed over in silence. */
function requireKeys(source: RecordSource, keys: readonly KeyObject[], isWithout: boolean): void {
  if (source.kind === 'log' && keys.length > 0)
    throw new UsageError('--digest-key goes with the objects of a collector; this source is an audit file');
  if (source.kind === 'log' || keys.length > 0 || isWithout) return;
  throw new UsageError(
    'these are the objects of a collector, which its signed digests prove: give --digest-key PUBLIC.pem (openssl pkey -in digest-key.pem -pubout), or --without-digests to check the chains of records alone',
  );
}

/** Checks everything that a source holds. `keys`: those that may have signed digests; empty: digests are not looked at. */
export async function verifySource(
  source: RecordSource,
  keys: readonly KeyObject[],
  isOpen: boolean,
): Promise<SourceVerdict> {
  const chains = new ChainSet({ isRepeatFinding: source.kind === 'log' });
  const progress = new Progress();
  const hasDigests = keys.length > 0;
  const digests = hasDigests ? await readDigests(source, keys) : undefined;
  const pool = new VerifyPool();
  try {
    const pieces = piecesOf(source, hasDigests);
    let lineOffset = 0;
    for await (const { piece, scan, sha256 } of inOrder(
      pieces,
      pool.width,
      async (next) => await ask(source, pool, next, hasDigests),
    )) {
      if (piece.start === 0) lineOffset = 0;
      if (scan !== undefined) chains.add(scan, piece.object.name, lineOffset);
      lineOffset += scan?.lines ?? 0;
      if (sha256 !== undefined) digests?.addObject(piece.object.name, sha256, isOpen);
      progress.show(() => `${chains.records} records ...`);
    }
    chains.settle();
    await compareCopies(source, pool, chains, progress);
  } finally {
    progress.end();
    await pool.close();
  }
  const verdict = chains.finish(isOpen);
  if (digests === undefined) return { ...verdict, digests: undefined };
  const said = digests.finish(isOpen);
  return {
    ...verdict,
    findings: [...verdict.findings, ...said.findings],
    findingCount: verdict.findingCount + said.findingCount,
    digests: said,
  };
}

/** A file may hold several keys, one behind the other: after a rotation both are in use. */
function readKeys(path: string): readonly KeyObject[] {
  let keys: readonly KeyObject[];
  try {
    const text = readFileSync(path, 'utf8');
    const blocks = text.match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g) ?? [text];
    keys = blocks.map((block) => createPublicKey(block));
  } catch {
    throw new UsageError(`--digest-key ${path} is no public key in PEM`);
  }
  if (keys.some((key) => key.asymmetricKeyType !== 'ed25519'))
    throw new UsageError(`--digest-key ${path} is not an Ed25519 key`);
  return keys;
}

async function readDigests(source: RecordSource, keys: readonly KeyObject[]): Promise<DigestCheck> {
  const check = new DigestCheck(keys);
  const read = async (object: SourceObject): Promise<readonly [string, string]> => [
    object.name,
    (await source.read(object)).toString('latin1'),
  ];
  for await (const [name, text] of inOrder(source.digests, 16, read)) check.addDigest(name, text);
  return check;
}

function* piecesOf({ records, results }: RecordSource, hasDigests: boolean): Generator<Piece> {
  for (const object of records) yield* partsOfObject(object, 'scan', hasDigests);
  // Results have no chain: only digests speak of them.
  if (hasDigests) for (const object of results) yield { object, start: 0, end: object.bytes, task: 'hash' };
}

function* partsOfObject(object: SourceObject, task: ScanJob['task'], isWhole: boolean): Generator<Piece> {
  const { path, bytes, name } = object;
  if (path === undefined || isWhole || name.endsWith('.zst') || bytes <= PART_BYTES) {
    yield { object, start: 0, end: bytes, task };
    return;
  }
  const cuts = partsOf(path, bytes, PART_BYTES);
  for (const [index, start] of cuts.entries()) {
    const end = cuts[index + 1];
    if (end !== undefined) yield { object, start, end, task };
  }
}

async function ask(source: RecordSource, pool: VerifyPool, piece: Piece, isDigested: boolean): Promise<Answered> {
  return { piece, ...(await pool.run({ ...(await jobOf(source, piece)), isDigested })) };
}

async function jobOf(source: RecordSource, { object, start, end, task }: Piece): Promise<ScanJob> {
  const stored = object.path === undefined ? await source.read(object) : { path: object.path, start, end };
  return { task, name: object.name, stored, isDigested: false };
}

function* recordPieces({ records }: RecordSource): Generator<Piece> {
  for (const object of records) yield* partsOfObject(object, 'look', false);
}

/** Reads again where copies of records end at different places, and compares them there. */
async function compareCopies(
  source: RecordSource,
  pool: VerifyPool,
  chains: ChainSet,
  progress: Progress,
): Promise<void> {
  if (chains.wanted.size === 0) return;
  const wanted = new Map([...chains.wanted].map(([chain, hashes]) => [chain, new Set(hashes.keys())]));
  const pieces = recordPieces(source);
  let read = 0;
  let lastName = '';
  for await (const { piece, found } of inOrder(pieces, pool.width, async (next) => ({
    piece: next,
    ...(await pool.run({ ...(await jobOf(source, next)), wanted })),
  }))) {
    for (const { chain, seq, hash, line } of found)
      chains.compare(chain, seq, hash, piece.object.name, piece.start === 0 ? line : 0);
    if (piece.object.name !== lastName) read += 1;
    lastName = piece.object.name;
    progress.show(() => `comparing copies: ${read} of ${source.records.length} objects ...`);
  }
}

function describe(finding: Finding): string {
  const chain = finding.chain === undefined ? '' : ` (chain ${finding.chain})`;
  const line = finding.line === 0 ? '' : `:${finding.line}`;
  return `${finding.file}${line}: ${finding.kind}: ${finding.message}${chain}`;
}

function printVerdict(verdict: SourceVerdict, isJson: boolean, isWithoutDigests: boolean): number {
  const { records, chains, findings, findingCount, resumed, gaps, digests } = verdict;
  const isEmpty = records === 0 && findingCount === 0;
  if (isJson) {
    const { findings: _, ...summary } = digests ?? { findings: [] };
    const said = digests === undefined ? undefined : summary;
    process.stdout.write(
      `${JSON.stringify({ records, chains, findings, findingCount, resumed, gaps, digests: said })}\n`,
    );
    return findingCount === 0 && !isEmpty ? 0 : 1;
  }
  const lines = findings.map(describe);
  if (findingCount > findings.length) lines.push(`and ${findingCount - findings.length} more findings`);
  for (const { chain, after } of resumed)
    lines.push(
      `resumed: chain ${chain} goes on from chain ${after.chain} after record ${after.seq}: the process was killed and began anew`,
    );
  for (const { chain, seq, reason, lost } of gaps)
    lines.push(`gap: record ${seq} of chain ${chain} says ${reason}${lost > 0 ? `, ${lost} records lost` : ''}`);
  if (digests !== undefined) lines.push(`${digests.digests} digests name ${digests.objects} objects`);
  if (isWithoutDigests)
    lines.push('digests were NOT checked: whoever can write to the bucket could have made these chains');
  const result = isEmpty ? 'no records' : findingCount === 0 ? 'all hold' : `${findingCount} findings`;
  lines.push(`${records} records in ${chains} chains: ${result}`);
  process.stdout.write(`${lines.join('\n')}\n`);
  return findingCount === 0 && !isEmpty ? 0 : 1;
}
