/** Records as a bucket holds them: made by the real sink, packed and signed by the collector's own writer, in a folder. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import type { AuditEvent, RecordedResult } from '#audit/event.ts';
import { openFileSink } from '#audit/file-sink.ts';
import { packObject } from '#collector/batcher.ts';
import { Digests } from '#collector/digests.ts';
import { eventsKey, hourPartition, resultsKey } from '#collector/layout.ts';
import { newObjectUid } from '#collector/object-uid.ts';
import { sha256Of } from '#collector/object-store.ts';
import { silentLog } from '#proxy/log.ts';

export const START_MS = Date.UTC(2026, 10, 22, 23, 59, 58);
export const POD = '6c1f2f0e-51b5-4c56-9d55-0a3a4f1f7a10';

export function edge(reason: string, timeMs: number, session?: AuditSession): AuditEvent {
  return { phase: 'session', timeMs, session, reason, sqlstate: '00000', policies: [], generation: 0 };
}

export type AuditSession = Extract<AuditEvent, { phase: 'decision' }>['session'];

export function sessionOf(sessionUid: string): AuditSession {
  return {
    sessionUid,
    actorUid: 'system:serviceaccount:agents:support-bot',
    groups: ['support'],
    hostname: 'shop.data.svc',
    port: 5432,
    database: 'shop',
  };
}

/** A decision and, where it was allowed, its completion. */
export function statement(
  session: AuditSession,
  uid: string,
  queryString: string,
  timeMs: number,
  disposition: 'Allowed' | 'Masked' | 'Denied' = 'Masked',
): readonly AuditEvent[] {
  const isDenied = disposition === 'Denied';
  const about = {
    ...{ command: 'SELECT', disposition, policies: ['data/support'], generation: 3 },
    ...{
      reason: isDenied ? 'column salary is not granted' : '',
      relations: ['public.customers'],
      rewritten: !isDenied,
    },
    ...{ masked: disposition === 'Masked' ? ['public.customers.email'] : [], rowFilters: [] },
  };
  const sqlstate = isDenied ? '42501' : '00000';
  const place = { timeMs, session, statementUid: uid, about, sqlstate };
  const decision: AuditEvent = { phase: 'decision', ...place, queryString, parameters: undefined };
  if (isDenied) return [decision];
  return [decision, { phase: 'completion', ...place, timeMs: timeMs + 4, rows: 2, bytes: 64, durationMs: 3.5 }];
}

/** The lines of a chain, each with its line end. */
export async function chainLines(events: readonly AuditEvent[], instanceUid = POD): Promise<readonly Buffer[]> {
  const path = join(mkdtempSync(join(tmpdir(), 'postern-chain-')), 'audit.ndjson');
  const sink = await openFileSink(path, { instanceUid });
  if (!sink.append(events)) throw new Error('the records could not be written');
  await sink.close();
  return readFileSync(path, 'latin1')
    .split('\n')
    .slice(0, -1)
    .map((line) => Buffer.from(`${line}\n`, 'latin1'));
}

/** A folder that is laid out as a collector lays out its bucket. */
export class RecordFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'postern-bucket-'));
  readonly publicKey: KeyObject;
  readonly keyFile: string;
  /** Keys, in the order of writing. */
  readonly keys: string[] = [];
  readonly #digests: Digests;
  #uidMs = START_MS;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    this.publicKey = publicKey;
    this.keyFile = join(mkdtempSync(join(tmpdir(), 'postern-key-')), 'digest-key.pem');
    writeFileSync(this.keyFile, publicKey.export({ type: 'spki', format: 'pem' }));
    this.#digests = new Digests({
      prefix: '',
      signer: { kid: 'test', privateKey },
      put: async (key, body) => await this.#write(key, body),
      holds: async () => false,
      onResult: () => undefined,
      log: silentLog,
      intervalMs: 2_000_000,
    });
  }

  /** One object of these lines; gives its key. */
  async addRecords(lines: readonly Buffer[], timeMs = START_MS): Promise<string> {
    const bytes = Buffer.concat(lines);
    const part = { packed: zstdCompressSync(bytes), start: 0, end: bytes.length, records: lines.length };
    return await this.#add(
      eventsKey('', hourPartition(timeMs), newObjectUid(this.#uidMs++)),
      await packObject([part]),
      lines.length,
    );
  }

  async addResults(session: string, results: readonly RecordedResult[]): Promise<string> {
    const bytes = Buffer.from(results.map((result) => `${JSON.stringify(result)}\n`).join(''));
    const part = { packed: zstdCompressSync(bytes), start: 0, end: bytes.length, records: 0 };
    return await this.#add(resultsKey('', START_MS, session, newObjectUid(this.#uidMs++)), await packObject([part]), 0);
  }

  /** Signs what was added since the last digest. */
  async sign(): Promise<void> {
    await this.#digests.write();
  }

  async close(): Promise<void> {
    await this.#digests.close();
  }

  file(key: string): string {
    return join(this.path, key);
  }

  async #add(key: string, body: Uint8Array, records: number): Promise<string> {
    await this.#write(key, body);
    this.#digests.add({ key, sha256: sha256Of(body), bytes: body.length, records });
    return key;
  }

  async #write(key: string, body: Uint8Array): Promise<void> {
    mkdirSync(dirname(this.file(key)), { recursive: true });
    writeFileSync(this.file(key), body, { flag: 'wx' });
    this.keys.push(key);
  }
}
