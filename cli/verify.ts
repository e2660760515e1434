/** `postern verify SOURCE`: checks the hash chains of a file, or of every `.ndjson` and `.log` file of a folder, by name. */
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { finishVerify, newVerifyState, verifyLine, type Finding, type VerifyState } from '#audit/verify.ts';
import { UsageError } from './arguments.ts';

export interface VerifyOptions {
  readonly open?: boolean;
  readonly json?: boolean;
}

const PROGRESS_INTERVAL_MS = 1_000;

function filesOf(source: string): readonly string[] {
  if (source.startsWith('s3://'))
    throw new UsageError(
      'verify reads files and folders; objects in S3 need the collector, which is not part of this version',
    );
  const status = statSync(source, { throwIfNoEntry: false });
  if (status === undefined) throw new UsageError(`${source} does not exist`);
  if (!status.isDirectory()) return [source];
  const files = readdirSync(source)
    .filter((name) => /\.(?:ndjson|jsonl|log)$/.test(name))
    .toSorted()
    .map((name) => join(source, name));
  if (files.length === 0) throw new UsageError(`${source} holds no .ndjson, .jsonl or .log file`);
  return files;
}

async function verifyFile(state: VerifyState, file: string, onProgress: () => void): Promise<void> {
  let rest = '';
  let line = 0;
  const stream = createReadStream(file, { encoding: 'latin1', highWaterMark: 1 << 20 });
  for await (const chunk of stream as AsyncIterable<string>) {
    const text = rest === '' ? chunk : rest + chunk;
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      line += 1;
      verifyLine(state, text.slice(from, end), { file, line }, true);
      from = end + 1;
    }
    rest = text.slice(from);
    onProgress();
  }
  if (rest !== '') verifyLine(state, rest, { file, line: line + 1 }, false);
}

function describe(finding: Finding): string {
  const chain = finding.chain === undefined ? '' : ` (chain ${finding.chain})`;
  return `${finding.file}:${finding.line}: ${finding.kind}: ${finding.message}${chain}`;
}

/** Prints what it finds; 0 if every chain holds, 1 if not. Throws UsageError for a source that cannot be read. */
export async function runVerify(source: string, options: VerifyOptions): Promise<number> {
  const files = filesOf(source);
  const state = newVerifyState();
  let shownAt = performance.now();
  const progress = (): void => {
    if (!process.stderr.isTTY || performance.now() - shownAt < PROGRESS_INTERVAL_MS) return;
    shownAt = performance.now();
    process.stderr.write(`\r${state.records} records ...`);
  };
  for (const file of files) await verifyFile(state, file, progress);
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  const findings = finishVerify(state, options.open === true);
  const empty = state.records === 0 && findings.length === 0;
  if (options.json === true)
    process.stdout.write(`${JSON.stringify({ records: state.records, chains: state.chains.size, findings })}\n`);
  else {
    for (const finding of findings) process.stdout.write(`${describe(finding)}\n`);
    const verdict = empty ? 'no records' : findings.length === 0 ? 'all hold' : `${findings.length} findings`;
    process.stdout.write(`${state.records} records in ${state.chains.size} chains: ${verdict}\n`);
  }
  return findings.length === 0 && !empty ? 0 : 1;
}
