import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DecisionCache } from '#session/decision-cache.ts';
import { UsageLimits } from '#session/usage-limits.ts';
import { BusyPoll } from './busy-poll.ts';
import { CancelKeys } from './cancel.ts';
import { Connection, type ConnectionRuntime } from './connection.ts';
import type { ConnectionDependencies } from './connection-ports.ts';
import { type Decider, ThreadedDecider } from './decide.ts';
import { RecordQueue } from './record-queue.ts';

/** Where clients connect: a TCP address (port 0: the system chooses), or the path of a unix socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export interface ClientListener {
  /** As bound. */
  readonly address: ListenAddress;
  /** Open client connections. */
  readonly connectionCount: number;
  /**
   * Accepts nobody any more, ends sessions at the end of their transaction (57P01), the rest after `graceMs`, and writes what waits
   * for the record. Resolves when all are gone.
   */
  close(graceMs: number): Promise<void>;
}

interface OpenConnection {
  readonly socket: Socket;
  /** Settles when its last record is handed over. */
  readonly over: Promise<void>;
}

const lastRecordsMs = 500;
const CACHE_MAX_BYTES = 16 * 1024 * 1024;
const CACHE_MAX_ENTRIES = 8_000;

/** Listens and serves each client with its own session; `decider` is given by tests of the protocol alone. Rejects with the system's error when the address cannot be bound. */
export async function listenForClients(
  asked: ListenAddress,
  dependencies: ConnectionDependencies,
  decider: Decider = new ThreadedDecider(),
  cacheMaxBytes: number = CACHE_MAX_BYTES,
): Promise<ClientListener> {
  const runtime: ConnectionRuntime = {
    dependencies,
    cache: new DecisionCache({ maxBytes: cacheMaxBytes, maxEntries: CACHE_MAX_ENTRIES }),
    usage: new UsageLimits(),
    cancels: new CancelKeys(),
    records: new RecordQueue(dependencies.audit.sink, dependencies.audit.confirmTimeoutMs),
    poll: new BusyPoll(),
    decide: (input) => decider.decide(input),
  };
  const connections = new Map<Connection, OpenConnection>();
  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    const connection = new Connection(socket, runtime);
    const over = connection.serve().finally(() => connections.delete(connection));
    connections.set(connection, { socket, over });
  });
  const address = await listen(server, asked);
  return {
    address,
    get connectionCount() {
      return connections.size;
    },
    close: async (graceMs) => {
      await closeAll({ server, connections, runtime, graceMs });
      decider.close();
    },
  };
}

async function listen(server: Server, asked: ListenAddress): Promise<ListenAddress> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(asked, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : asked;
}

async function closeAll(options: {
  readonly server: Server;
  readonly connections: ReadonlyMap<Connection, OpenConnection>;
  readonly runtime: ConnectionRuntime;
  readonly graceMs: number;
}): Promise<void> {
  const { server, connections, runtime, graceMs } = options;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const connection of connections.keys()) connection.drain();
  const timer = setTimeout(() => {
    for (const { socket } of connections.values()) socket.destroy();
  }, graceMs);
  await closed;
  clearTimeout(timer);
  // The server is closed before the last connection has heard of it, and that one has a record to write.
  const bound = new AbortController();
  await Promise.race([
    Promise.allSettled([...connections.values()].map(({ over }) => over)),
    sleep(lastRecordsMs, undefined, { signal: bound.signal }).catch(() => undefined),
  ]);
  bound.abort();
  runtime.records.flush();
}
