/** Memory, time to start, and how long a hostile text keeps the process from answering anybody else. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '#test/postgres.ts';
import { connectRaw, type RawClient } from './raw-client.ts';
import { freePort, gateArguments, manifests, startGate, stopChild } from './servers.ts';
import { type Figure, median } from './statistics.ts';

const SELECT_ONE = 'SELECT abalance FROM accounts WHERE aid = 1';

export async function measureMemory(server: PostgresServer): Promise<readonly Figure[]> {
  const gate = await startGate(server, { name: 'Postern', auditRequired: false });
  try {
    await sleep(1_000);
    const idle = await residentMegabytes(gate.pid);
    const sessions: RawClient[] = [];
    for (let count = 0; count < 100; count++) {
      const client = await connectRaw(gate.port);
      await client.query(SELECT_ONE);
      sessions.push(client);
    }
    await sleep(500);
    const busy = await residentMegabytes(gate.pid);
    await Promise.all(sessions.map((client) => client.end()));
    const reader = await connectRaw(gate.port);
    await reader.query('SELECT * FROM wide');
    const streamed = await residentMegabytes(gate.pid);
    await reader.end();
    const before = await residentMegabytes(gate.pid);
    const stalled = await Promise.all(Array.from({ length: 10 }, () => connectRaw(gate.port)));
    for (const client of stalled) client.sendOnly('SELECT * FROM wide');
    await sleep(3_000);
    const held = await residentMegabytes(gate.pid);
    for (const client of stalled) client.socket.destroy();
    const group = 'memory (resident)';
    return [
      { group, name: 'idle', value: idle, unit: 'MB', goal: { max: 70 } },
      { group, name: '100 open sessions', value: busy, unit: 'MB', goal: { max: 85 } },
      { group, name: 'after 10^6 rows', value: streamed, unit: 'MB', goal: { max: 110 } },
      {
        group,
        name: 'more for each of 10 clients that do not read',
        value: (held - before) / 10,
        unit: 'MB',
        goal: { max: 1 },
      },
    ];
  } finally {
    await gate.stop();
  }
}

async function residentMegabytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** From spawning the bundle until its port accepts a connection; the catalog may still be on its way. */
export async function measureStart(server: PostgresServer, rounds: number): Promise<readonly Figure[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const directory = await mkdtemp(join(tmpdir(), 'postern-bench-'));
    await mkdir(join(directory, 'audit'), { recursive: true });
    await writeFile(join(directory, 'shop.yaml'), manifests(server, { name: 'Postern', auditRequired: false }));
    const port = await freePort();
    const started = performance.now();
    const child = spawn(process.execPath, gateArguments(directory, port, await freePort()), { stdio: 'ignore' });
    while (!(await accepts(port))) {
      if (child.exitCode !== null || performance.now() - started > 10_000)
        throw new Error('Postern does not accept connections');
      await sleep(2);
    }
    times.push(performance.now() - started);
    await stopChild(child, directory);
  }
  return [{ group: 'start', name: 'process start to accepting', value: median(times), unit: 'ms', goal: { max: 120 } }];
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Texts made to be slow to read, all below maxStatementBytes. */
const HOSTILE: Readonly<Record<string, string>> = {
  'IN list of 250 kB': `SELECT 1 FROM accounts WHERE aid IN (${Array.from({ length: 40_000 }, (_, i) => i).join(',')})`,
  '10,000 parentheses': `SELECT ${'('.repeat(10_000)}1${')'.repeat(10_000)}`,
  'chain of 40,000 AND': `SELECT 1 WHERE true${' AND 1=1'.repeat(30_000)}`,
  'sum of 100,000 ones': `SELECT 1${'+1'.repeat(100_000)}`,
  '2,000 CTEs': `WITH ${Array.from({ length: 2_000 }, (_, i) => `c${i} AS (SELECT * FROM accounts)`).join(',')} SELECT 1`,
  '3,000 joins': `SELECT 1 FROM accounts${Array.from({ length: 3_000 }, (_, i) => ` JOIN accounts a${i} USING (aid)`).join('')}`,
  '5,000 unions of *': `SELECT * FROM accounts${' UNION ALL SELECT * FROM accounts'.repeat(5_000)}`,
  'nested sub-selects': `${'SELECT * FROM ('.repeat(400)}SELECT 1${') x'.repeat(400)}`,
  '60,000 comments': `SELECT 1 ${'/**/'.repeat(60_000)}`,
  '8,000 statements': 'SELECT aid FROM accounts;'.repeat(8_000),
};

/** A second client asks `SSLRequest` all the time: the longest answer is how long the event loop was held. */
export async function measureEventLoop(server: PostgresServer): Promise<readonly Figure[]> {
  const gate = await startGate(server, { name: 'Postern', auditRequired: false });
  const figures: Figure[] = [];
  try {
    for (const [name, sql] of Object.entries(HOSTILE)) {
      const client = await connectRaw(gate.port);
      await client.query(SELECT_ONE);
      let worst = 0;
      let running = true;
      const probe = (async () => {
        while (running) worst = Math.max(worst, await probeOnce(gate.port));
      })();
      await sleep(50);
      worst = 0;
      // Refused or answered: both are fine here, and so is a clean close.
      await Promise.race([client.query(sql).catch(() => 0), sleep(20_000)]);
      running = false;
      await probe;
      client.socket.destroy();
      figures.push({ group: 'event loop held', name, value: worst, unit: 'ms', goal: { max: 50 } });
    }
  } finally {
    await gate.stop();
  }
  return figures;
}

function probeOnce(port: number): Promise<number> {
  return new Promise((resolve) => {
    const started = performance.now();
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (): void => {
      socket.destroy();
      resolve(performance.now() - started);
    };
    socket.once('connect', () => socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])));
    socket.once('data', finish);
    socket.once('error', finish);
  });
}
