import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { kubectl, run } from './programs.ts';

const FOLDER = new URL('../../hack/kind/samples/', import.meta.url);
const NAMESPACE = 'package-samples';

beforeAll(async () => {
  await run('kubectl', ['create', 'namespace', NAMESPACE]);
});
afterAll(async () => {
  await kubectl('delete', 'namespace', NAMESPACE, '--wait=false');
});

describe('the samples of hack/kind', () => {
  test.each(readdirSync(FOLDER))('%s is what the API server takes, without a warning', async (file) => {
    const objects = parseAllDocuments(readFileSync(new URL(file, FOLDER), 'utf8')).map((document) => {
      const object = document.toJS() as { readonly metadata: object };
      return JSON.stringify({ ...object, metadata: { ...object.metadata, namespace: NAMESPACE } });
    });
    const { code, stderr } = await run(
      'kubectl',
      ['apply', '--dry-run=server', '--validate=strict', '--filename', '-'],
      objects.join('\n---\n'),
    );
    expect(stderr).toBe('');
    expect(code).toBe(0);
  });

  test('what brings them up is a script that its shell can read', async () => {
    for (const script of ['kind/up', 'kind/down', 'kind/kubeconfig']) {
      expect(await run('bash', ['-n', new URL(`../../hack/${script}`, import.meta.url).pathname])).toMatchObject({
        code: 0,
        stderr: '',
      });
    }
  });
});
