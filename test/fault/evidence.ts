/** What the database ran, and what the objects in S3 say of it. */
import { createReadStream } from 'node:fs';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { readLink } from '#audit/link.ts';
import type { S3Server } from '#test/s3/s3-server.ts';
import { MARK } from './agents.ts';

const decompress = promisify(zstdDecompress);

export interface Chain {
  readonly podUid: string;
  /** By number; each once. */
  readonly lines: Map<number, string>;
}

export interface Evidence {
  readonly chains: ReadonlyMap<string, Chain>;
  readonly objects: number;
  /** With repetitions. */
  readonly lines: number;
  /** Marks of decisions that allowed their statement. */
  readonly decided: ReadonlySet<string>;
  /** Gap records, `reason` with how often. */
  readonly gaps: ReadonlyMap<string, number>;
}

/** Marks of all statements that the server was sent. */
export async function marksRun(logPath: string): Promise<ReadonlySet<string>> {
  const marks = new Set<string>();
  let rest = '';
  for await (const chunk of createReadStream(logPath, { encoding: 'latin1' })) {
    const text: string = rest + String(chunk);
    const end = text.lastIndexOf('\n') + 1;
    for (const match of text.slice(0, end).matchAll(MARK)) marks.add(match[1] ?? '');
    rest = text.slice(end);
  }
  return marks;
}

/** Reads every object. Throws where two records of one chain have the same number and differ. */
export async function readEvidence(s3: S3Server, bucket: string): Promise<Evidence> {
  const chains = new Map<string, Chain>();
  const decided = new Set<string>();
  const gaps = new Map<string, number>();
  let count = 0;
  const keys = await s3.keys(bucket, 'events/');
  for (const key of keys) {
    const bytes = await decompress(await s3.read(bucket, key));
    for (let start = 0, end = bytes.indexOf(10); end >= 0; start = end + 1, end = bytes.indexOf(10, start)) {
      count++;
      const link = readLink(bytes, start, end);
      if (link === undefined) throw new Error(`${key} holds a line that is no record`);
      const line = bytes.toString('utf8', start, end);
      const chain = chains.get(link.chainId) ?? { podUid: link.instanceUid, lines: new Map<number, string>() };
      chains.set(link.chainId, chain);
      const known = chain.lines.get(link.seq);
      if (known === line) continue;
      if (known !== undefined) throw new Error(`two records are number ${link.seq} of ${link.chainId}`);
      chain.lines.set(link.seq, line);
      if (isForwarded(line)) for (const match of line.matchAll(MARK)) decided.add(match[1] ?? '');
      const gap = /"phase":"gap","reason":"([^"]+)"/.exec(line)?.[1];
      if (gap !== undefined) gaps.set(gap, (gaps.get(gap) ?? 0) + 1);
    }
  }
  return { chains, objects: keys.length, lines: count, decided, gaps };
}

function isForwarded(line: string): boolean {
  return line.includes('"phase":"decision"') && !line.includes('"disposition":"Denied"');
}
