import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { Log } from '#kubernetes/log.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { Reflector, type ReflectorOptions } from '#kubernetes/reflector.ts';
import { type Fault, FaultApiServer, truthOf } from '../../fault-api-server.ts';

const quiet: Log = { info: () => {}, warn: () => {}, error: () => {} };
const times = { idleMs: 80, backOff: { firstMs: 1, capMs: 5 } };

interface Watched {
  readonly reflector: Reflector;
  /** What the handler was told, added up. */
  readonly told: Map<string, KubernetesObject>;
  readonly restarts: string[];
}

function watch(server: FaultApiServer, more: Partial<ReflectorOptions> = {}): Watched {
  const told = new Map<string, KubernetesObject>();
  const restarts: string[] = [];
  const client = new ClusterClient(() => server.kubeConfig(), quiet);
  const reflector = new Reflector({
    client,
    path: server.path,
    log: quiet,
    times,
    onChange: (key, object) => {
      if (object === undefined) told.delete(key);
      else told.set(key, object);
    },
    metrics: { listed: () => {}, watchRestarted: (_path, reason) => restarts.push(reason) },
    ...more,
  });
  reflector.start();
  return { reflector, told, restarts };
}

async function until(condition: () => boolean, what: string, withinMs = 5000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 3);
    });
  }
}

function agrees(server: FaultApiServer, watched: Watched): boolean {
  const truth = JSON.stringify(truthOf(server.objects.values()));
  return (
    watched.reflector.hasSynced() &&
    JSON.stringify(truthOf(watched.reflector.list())) === truth &&
    JSON.stringify(truthOf(watched.told.values())) === truth
  );
}

describe('a reflector', () => {
  let server: FaultApiServer;
  let open: Watched[];

  beforeEach(async () => {
    server = await FaultApiServer.open();
    open = [];
  });

  afterEach(async () => {
    await Promise.all(open.map(async ({ reflector }) => await reflector.stop()));
    await server.close();
  });

  function begin(more: Partial<ReflectorOptions> = {}): Watched {
    const watched = watch(server, more);
    open.push(watched);
    return watched;
  }

  test('lists in pages, then follows what is added, changed and deleted', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) server.put(name, '1');
    const watched = begin();
    await until(() => agrees(server, watched), 'the first list');
    expect(server.seen.lists).toBe(3);
    server.put('a', '2');
    server.put('f', '1');
    server.remove('b');
    await until(() => agrees(server, watched), 'the events');
    expect(watched.reflector.get('test/a')?.['data']).toEqual({ value: '2' });
    expect(watched.reflector.get('test/b')).toBeUndefined();
    expect(watched.reflector.get('test/c')?.kind).toBe('ConfigMap');
  });

  test('does not claim to be in sync before a whole list was read', async () => {
    server.put('a', '1');
    server.faults.push(...Array.from({ length: 10 }, (): Fault => 'server-error'));
    const watched = begin();
    expect(watched.reflector.hasSynced()).toBe(false);
    await until(() => server.faults.length < 5, 'some failures');
    expect(watched.reflector.hasSynced()).toBe(false);
    await until(() => agrees(server, watched), 'the list');
  });

  const everyFault: readonly Fault[] = [
    'reset',
    'cut',
    'half-line',
    'server-error',
    'throttled',
    'gone-status',
    'gone-event',
    'unauthorized',
    'silence',
    'duplicate',
    'stale',
    'ends',
  ];

  test.each(everyFault)('agrees with the server again after %s at the list and at the watch', async (fault) => {
    server.put('a', '1');
    server.put('b', '1');
    server.faults.push(fault);
    const watched = begin();
    await until(() => agrees(server, watched), 'after the list failed');
    server.faults.push(fault);
    server.resetWatches();
    server.put('a', '2');
    server.remove('b');
    await until(() => server.faults.length === 0, 'the faults are met');
    server.put('c', '1');
    server.put('d', '1');
    await until(() => agrees(server, watched), 'after the watch failed');
  });

  test('lists again when the server has forgotten the version, without a hot loop', async () => {
    server.put('a', '1');
    const watched = begin();
    await until(() => agrees(server, watched), 'the first list');
    const before = server.seen.lists;
    server.faults.push(...Array.from({ length: 6 }, (): Fault => 'gone-event'));
    server.resetWatches();
    server.compact();
    server.put('b', '1');
    await until(() => agrees(server, watched), 'after 410');
    expect(watched.restarts).toContain('expired');
    expect(server.seen.lists - before).toBeLessThanOrEqual(8);
  });

  test('cuts a silent watch and lists again, since events may be lost', async () => {
    server.put('a', '1');
    server.faults.push('throttled', 'duplicate', 'silence');
    const watched = begin();
    await until(() => agrees(server, watched), 'the first list');
    server.resetWatches();
    await until(() => server.faults.length === 0, 'the silent watch');
    server.put('a', '2');
    await until(() => agrees(server, watched), 'after the silence');
    expect(watched.restarts).toContain('silent');
  });

  test('a quiet watch with bookmarks is not taken for a silent one, and goes on from the bookmark', async () => {
    server.put('a', '1');
    const watched = begin();
    await until(() => agrees(server, watched), 'the first list');
    await new Promise((resolve) => {
      setTimeout(resolve, 300);
    });
    expect(watched.restarts).toEqual([]);
    expect(server.seen.lists).toBe(1);
  });

  test('lists everything anew after the resync time, whatever the watch says', async () => {
    server.put('a', '1');
    const watched = begin({ times: { ...times, resyncMs: 60 } });
    await until(() => server.seen.lists >= 3, 'three lists');
    expect(watched.restarts).toContain('resync');
  });

  test('reads the credentials again when they are refused', async () => {
    server.put('a', '1');
    const watched = begin();
    await until(() => agrees(server, watched), 'the first list');
    server.faults.push('unauthorized');
    server.resetWatches();
    server.put('b', '1');
    await until(() => agrees(server, watched), 'after 401');
    expect(server.seen.badTokens).toBe(1);
  });

  test('keeps what transform leaves, and a handler that throws stops nothing', async () => {
    server.put('a', '1');
    const reflector = new Reflector({
      client: new ClusterClient(() => server.kubeConfig(), quiet),
      path: server.path,
      log: quiet,
      times,
      transform: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }),
      onChange: () => {
        throw new Error('handler');
      },
    });
    reflector.start();
    await until(() => reflector.hasSynced(), 'the first list');
    server.put('b', '1');
    await until(() => reflector.get('test/b') !== undefined, 'the event');
    expect(reflector.get('test/a')?.['data']).toBeUndefined();
    await reflector.stop();
  });

  test('after stop no handler is called any more', async () => {
    const watched = begin();
    await until(() => watched.reflector.hasSynced(), 'the first list');
    await watched.reflector.stop();
    server.put('late', '1');
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    expect(watched.told.size).toBe(0);
  });
});

describe('law: whatever fails, in whatever order, a reflector ends up with what the server holds', () => {
  type Step =
    | { readonly kind: 'put'; readonly name: string; readonly value: string }
    | { readonly kind: 'remove'; readonly name: string }
    | { readonly kind: 'fault'; readonly fault: Fault }
    | { readonly kind: 'reset' }
    | { readonly kind: 'compact' }
    | { readonly kind: 'wait'; readonly ms: number };

  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e');
  const fault = fc.constantFrom<Fault>(
    'reset',
    'cut',
    'half-line',
    'server-error',
    'throttled',
    'gone-status',
    'gone-event',
    'unauthorized',
    'silence',
    'duplicate',
    'stale',
    'ends',
  );
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant('put' as const), name, value: fc.string({ maxLength: 5 }) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), name }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('fault' as const), fault }) },
    { weight: 2, arbitrary: fc.constantFrom<Step>({ kind: 'reset' }, { kind: 'compact' }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 8 }) }) },
  );

  async function take(server: FaultApiServer, one: Step): Promise<void> {
    if (one.kind === 'put') server.put(one.name, one.value);
    else if (one.kind === 'remove') server.remove(one.name);
    else if (one.kind === 'fault') server.faults.push(one.fault);
    else if (one.kind === 'compact') server.compact();
    else if (one.kind === 'reset') server.resetWatches();
    else
      await new Promise((resolve) => {
        setTimeout(resolve, one.ms);
      });
  }

  test('holds for 60 random days', { timeout: 60_000 }, async () => {
    const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const server = await FaultApiServer.open();
      const watched = watch(server);
      try {
        for (const one of steps) await take(server, one);
        await until(() => agrees(server, watched), 'agreement with the server');
      } finally {
        await watched.reflector.stop();
        await server.close();
      }
    });
    await fc.assert(property, { numRuns: 60, endOnFailure: true });
  });
});
