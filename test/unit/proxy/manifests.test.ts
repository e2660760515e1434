import { appendFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ManifestsRead, readManifests } from '#proxy/manifests.ts';
import { concernsManifests, watchManifests } from '#proxy/watch-manifests.ts';
import { assembleWorld } from '#proxy/world.ts';

const connection = `
apiVersion: postern.dev/v1alpha1
kind: DatabaseConnection
metadata: { name: shop, namespace: data }
spec:
  engine: Postgres
  host: 127.0.0.1
  database: shop
  tls: { mode: Disable }
  credentials: { secretRef: { name: shop-agent } }
`;
const secret = `
apiVersion: v1
kind: Secret
metadata: { name: shop-agent, namespace: data, labels: { postern.dev/connection: shop } }
stringData: { username: agent, password: s3cret-value, short: abc }
`;
const policy = `
apiVersion: postern.dev/v1alpha1
kind: DatabaseAccessPolicy
metadata: { name: support, namespace: data }
spec:
  connectionRef: { name: shop }
  subjects: [{ serviceAccount: { namespace: agents, name: support-bot } }]
  tables: [{ name: public.customers }]
`;
const wanted = { namespace: 'data', name: 'shop' };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-manifests-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function read(files: Readonly<Record<string, string>>): Promise<ManifestsRead> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return await readManifests(folder);
}

async function problems(files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const result = await read(files);
  if (result.kind === 'invalid') return result.problems;
  const world = assembleWorld(result.manifests, wanted, Buffer.alloc(32));
  if (world.kind === 'absent') return [world.problem];
  return world.kind === 'invalid' ? world.problems : [];
}

describe('reading', () => {
  test('a folder of files, several documents each, and nothing else in it', async () => {
    const result = await read({
      'a.yaml': `${connection}---\n${policy}`,
      'b.yml': secret,
      'notes.txt': 'x: [',
      '.hidden.yaml': 'x: [',
    });
    expect(result).toMatchObject({ kind: 'loaded' });
    if (result.kind !== 'loaded') return;
    expect(result.manifests.connections.map((each) => each.name)).toEqual(['shop']);
    const world = assembleWorld(result.manifests, wanted, Buffer.alloc(32));
    expect(world).toMatchObject({
      kind: 'assembled',
      world: { target: { host: '127.0.0.1', port: 5432, user: 'agent', password: 's3cret-value' }, warnings: [] },
    });
    if (world.kind === 'assembled') expect(world.world.policies.map((each) => each.name)).toEqual(['support']);
  });

  test('a single file, and JSON', async () => {
    await writeFile(
      join(folder, 'all.json'),
      JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }),
    );
    await writeFile(join(folder, 'one.yaml'), `${connection}---\n${secret}`);
    expect(await readManifests(join(folder, 'one.yaml'))).toMatchObject({ kind: 'loaded' });
    expect(await readManifests(folder)).toMatchObject({ kind: 'loaded' });
  });
});

describe('every fault names its file, line and path, and never a secret', () => {
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, RegExp])[] = [
    ['nothing there', {}, /no DatabaseConnection in it$/],
    ['not YAML', { 'a.yaml': 'a: [1' }, /^a\.yaml:1: not valid YAML: /],
    ['the same key twice', { 'a.yaml': 'a: 1\na: 2' }, /^a\.yaml:2: not valid YAML: duplicated mapping key/],
    [
      'a misspelled field',
      { 'a.yaml': connection.replace('database: shop', 'databse: shop'), 'b.yaml': secret },
      /^a\.yaml:\d+: DatabaseConnection data\/shop: spec\.(?:databse|database): /,
    ],
    [
      'a port that is none',
      { 'a.yaml': connection.replace('host:', 'port: 99999\n  host:') },
      /^a\.yaml:7: DatabaseConnection data\/shop: spec\.port: expected/,
    ],
    [
      'a missing Secret',
      { 'a.yaml': connection },
      /^DatabaseConnection data\/shop: spec\.credentials\.secretRef: expected a Secret data\/shop-agent in the manifests$/,
    ],
    [
      'a missing key',
      { 'a.yaml': connection + '---' + secret.replace('password', 'pass') },
      /expected the key password in Secret data\/shop-agent$/,
    ],
    [
      'twice the same',
      { 'a.yaml': connection, 'b.yaml': connection },
      /^b\.yaml: DatabaseConnection data\/shop: is also in a\.yaml; each may stand once$/,
    ],
    [
      'another connection',
      { 'a.yaml': connection.replace('name: shop,', 'name: other,') + '---' + secret },
      /^no DatabaseConnection data\/shop in the manifests; there is data\/other$/,
    ],
    [
      'a CA that is none',
      {
        'a.yaml':
          connection.replace('mode: Disable', 'mode: VerifyCA, caSecretRef: { name: shop-agent, key: short }') +
          '---' +
          secret,
      },
      /spec\.tls\.caSecretRef: expected certificates in PEM$/,
    ],
    [
      'a short mask key',
      { 'a.yaml': `${connection}  maskKey: { secretRef: { name: shop-agent, key: short } }\n---${secret}` },
      /spec\.maskKey\.secretRef: expected a key of at least 16 bytes$/,
    ],
    [
      'TLS over a unix socket',
      {
        'a.yaml': connection.replace('127.0.0.1', '/run/postgresql').replace('Disable', 'VerifyFull') + '---' + secret,
      },
      /spec\.tls\.mode: expected Disable, because host is a unix socket$/,
    ],
  ];
  test.each(cases)('%s', async (_, files, expected) => {
    const found = await problems(files);
    expect(found.join('\n')).toMatch(expected);
    expect(found.join('\n')).not.toContain('s3cret-value');
  });

  test('a folder that is not there', async () => {
    expect(await readManifests(join(folder, 'nowhere'))).toMatchObject({ kind: 'invalid' });
  });
});

describe('watching', () => {
  test('an edit, a replaced file and a removed one are noticed; a file that stays the same is not', async () => {
    const first = await read({ 'a.yaml': connection, 'b.yaml': secret });
    const seen: ManifestsRead[] = [];
    const watch = watchManifests(folder, first.fingerprint, async (next) => void seen.push(next));
    try {
      await writeFile(join(folder, 'b.yaml'), secret);
      await writeFile(join(folder, 'c.yaml'), policy);
      await expect.poll(() => seen.length, { timeout: 4000 }).toBe(1);
      await writeFile(join(folder, 'c.new'), 'x: [');
      await rename(join(folder, 'c.new'), join(folder, 'c.yaml'));
      await expect.poll(() => seen.length, { timeout: 4000 }).toBe(2);
      expect(seen[1]).toMatchObject({ kind: 'invalid' });
      await rm(join(folder, 'c.yaml'));
      await expect.poll(() => seen.length, { timeout: 4000 }).toBe(3);
      expect(seen[2]).toMatchObject({ kind: 'loaded', fingerprint: first.fingerprint });
    } finally {
      watch.close();
    }
  });

  test('a file beside them that is written all the time neither causes a look nor puts one off', async () => {
    const first = await read({ 'a.yaml': connection, 'b.yaml': secret });
    const seen: ManifestsRead[] = [];
    const watch = watchManifests(folder, first.fingerprint, async (next) => void seen.push(next));
    const busy = setInterval(() => appendFileSync(join(folder, 'audit.ndjson'), '{}\n'), 5);
    try {
      await sleep(300);
      expect(seen).toEqual([]);
      await writeFile(join(folder, 'c.yaml'), policy);
      // Sooner than the files are polled.
      await expect.poll(() => seen.length, { timeout: 1500, interval: 20 }).toBe(1);
      expect(seen[0]).toMatchObject({ kind: 'loaded' });
    } finally {
      clearInterval(busy);
      watch.close();
    }
  });

  test.each([
    ['policy.yaml', true],
    ['policy.yml', true],
    ['policy.json', true],
    ['..data', true],
    [null, true],
    ['audit.ndjson', false],
    ['audit.jsonl', false],
    ['.policy.yaml.swp', false],
    ['policy.yaml~', false],
    ['..2026_11_23', false],
  ])('an event of %j in the folder concerns manifests: %j', (name, expected) => {
    expect(concernsManifests(name)).toBe(expected);
  });

  test('the link of a volume that is swapped, and a folder behind a link that is moved', async () => {
    for (const [place, swapped] of [
      ['volume', '..data'],
      ['folder', 'link'],
    ] as const) {
      const root = join(folder, place);
      for (const [version, text] of [
        ['1', connection],
        ['2', connection + '---' + secret],
        ['3', 'x: ['],
      ] as const) {
        await mkdir(join(root, version), { recursive: true });
        await writeFile(join(root, version, 'a.yaml'), text);
      }
      await symlink('1', join(root, swapped));
      await symlink(join(swapped, 'a.yaml'), join(root, 'a.yaml'));
      const path = place === 'volume' ? root : join(root, 'link');
      const seen: ManifestsRead[] = [];
      const watch = watchManifests(path, (await readManifests(path)).fingerprint, async (next) => void seen.push(next));
      try {
        for (const [count, version] of [
          [1, '2'],
          [2, '3'],
          [3, '1'],
        ] as const) {
          await symlink(version, join(root, 'next'));
          await rename(join(root, 'next'), join(root, swapped));
          await expect.poll(() => seen.length, { timeout: 1500, interval: 20 }).toBe(count);
        }
        expect(seen.map(({ kind }) => kind)).toEqual(['loaded', 'invalid', 'loaded']);
        // The folder that the link leads to now is the one that is watched.
        await writeFile(join(root, swapped, 'a.yaml'), connection + '---' + policy);
        await expect.poll(() => seen.length, { timeout: place === 'volume' ? 4000 : 1500, interval: 20 }).toBe(4);
      } finally {
        watch.close();
      }
    }
  });
});
