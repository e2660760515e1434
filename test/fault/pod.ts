/** A sidecar in a process of its own, as the kubelet runs it: killed and started again it finds the same volumes. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundleOf, policyJson } from '#test/signed-bundles.ts';
import type { TestAuthority } from '#test/certificates.ts';
import { PodFixture } from '#test/pod-fixture.ts';

const program = new URL('../../cli/main.ts', import.meta.url).pathname;
const clock = new URL('clock.ts', import.meta.url).href;

export interface PodSettings {
  readonly number: number;
  readonly durability: 'Spool' | 'Confirmed';
  readonly spoolLimitBytes: number;
  /** The spool is a volume of that size of its own: the disk is full before the limit is reached. */
  readonly diskBytes?: number;
}

export interface PodSurroundings {
  readonly database: URL;
  readonly authority: TestAuthority;
  readonly collectorUrl: string;
  readonly token: (podUid: string) => Promise<string>;
  readonly credentials: { readonly username: string; readonly password: string };
}

export class FaultPod {
  readonly settings: PodSettings;
  readonly port: number;
  readonly spool: string;
  /** How many processes were killed. */
  kills = 0;
  /** Chain and number of the last record that a process knew as confirmed when it was killed. */
  readonly confirmed = new Map<string, number>();
  readonly #fixture: PodFixture;
  readonly #variables: Readonly<Record<string, string>>;
  readonly #adminPort: number;
  #isMounted = false;
  #child: ChildProcess | undefined;
  #stderr = '';

  private constructor(settings: PodSettings, fixture: PodFixture, ports: readonly [number, number], url: string) {
    this.settings = settings;
    this.#fixture = fixture;
    [this.port, this.#adminPort] = ports;
    this.spool = mkdtempSync(join(tmpdir(), 'postern-fault-spool-'));
    this.#variables = {
      ...fixture.variables(`data/shop=${this.port}`),
      POSTERN_SPOOL_DIRECTORY: this.spool,
      POSTERN_SPOOL_LIMIT_BYTES: String(settings.spoolLimitBytes),
      POSTERN_COLLECTOR_URL: url,
      POSTERN_ADMIN_PORT: String(this.#adminPort),
      POD_UID: podUid(settings.number),
    };
  }

  static async create(settings: PodSettings, around: PodSurroundings): Promise<FaultPod> {
    const fixture = await PodFixture.create(around.database, around.authority);
    const connection = fixture.connection('shop', { audit: { durability: settings.durability } });
    await fixture.deliver(
      bundleOf(connection, [policyJson('support', 'shop', { tables: [{ name: 'public.items' }] })], 1),
    );
    fixture.endpoint.grant(fixture.granted(1, { credentials: around.credentials }));
    const pod = new FaultPod(settings, fixture, [await freePort(), await freePort()], around.collectorUrl);
    const tokens = pod.#variables['POSTERN_TOKEN_DIRECTORY'] ?? '';
    writeFileSync(join(tokens, 'collector'), await around.token(podUid(settings.number)));
    pod.#mount();
    return pod;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Whether the spool has a disk of its own. */
  get hasDisk(): boolean {
    return this.#isMounted;
  }

  start(): void {
    const child = spawn(process.execPath, ['--import', clock, program, 'proxy'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'], ...this.#variables },
    });
    child.stderr.on('data', (bytes) => {
      this.#stderr = (this.#stderr + String(bytes)).slice(-20_000);
    });
    this.#child = child;
  }

  async kill(): Promise<void> {
    this.kills++;
    await this.#end('SIGKILL');
    for (const chain of readdirSync(this.spool)) {
      const path = join(this.spool, chain, 'confirmed');
      if (existsSync(path)) this.confirmed.set(chain, Number(readFileSync(path, 'latin1')));
    }
  }

  /** Gives the exit code. */
  async terminate(): Promise<number | null> {
    return await this.#end('SIGTERM');
  }

  jumpClock(): void {
    this.#child?.kill('SIGUSR2');
  }

  /** The pod goes, and its volume with it; another one takes its place. */
  deleteVolume(): void {
    rmSync(this.spool, { recursive: true, force: true });
  }

  /** Value of a metric; undefined while nobody answers. */
  async metric(name: string): Promise<number | undefined> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#adminPort}/metrics`);
      const line = new RegExp(`^${name} (.+)$`, 'm').exec(await response.text());
      return line === null ? undefined : Number(line[1]);
    } catch {
      return undefined;
    }
  }

  /** Resolves when all that is in the spool is confirmed. */
  async untilShipped(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while ((await this.metric('postern_audit_spool_bytes')) !== 0) {
      if (performance.now() > deadline)
        throw new Error(`pod ${this.settings.number} does not get rid of its records\n${this.#stderr}`);
      await sleep(100);
    }
  }

  async close(): Promise<void> {
    await this.#end('SIGKILL');
    await this.#fixture.close();
    if (this.#isMounted) execFileSync('umount', [this.spool]);
    rmSync(this.spool, { recursive: true, force: true });
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill(signal);
    return await ended;
  }

  /** Needs root; without it the limit of the spool is what is reached. */
  #mount(): void {
    const { diskBytes } = this.settings;
    if (diskBytes === undefined || process.getuid?.() !== 0) return;
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', this.spool], { stdio: 'pipe' });
      this.#isMounted = true;
    } catch {
      // A machine that does not let root mount either.
    }
  }
}

export function podUid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
