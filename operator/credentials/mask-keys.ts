/** Keys of Hash masks for connections that name none: made once, kept in `postern-mask-keys`, never replaced, so that tokens stay the same. */
import { randomBytes } from 'node:crypto';
import { isConflict } from '#kubernetes/api-error.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import { PART_OF, PART_OF_LABEL } from '../signing-keys/stored-keys.ts';

export const MASK_KEYS_SECRET = 'postern-mask-keys';
const KEY_BYTES = 32;

/** Key in the Secret. Neither part holds a dot. */
export function maskKeyName(connection: { readonly namespace: string; readonly name: string }): string {
  return `${connection.namespace}.${connection.name}`;
}

/** Makes the key where there is none. Leader only. */
export async function ensureMaskKey(
  client: ClusterClient,
  namespace: string,
  connection: { readonly namespace: string; readonly name: string },
): Promise<void> {
  const field = maskKeyName(connection);
  const reference = { apiVersion: 'v1', kind: 'Secret', namespace, name: MASK_KEYS_SECRET };
  for (let attempt = 1; ; attempt++) {
    const current = await client.find(reference);
    const data = (current?.['data'] ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof data[field] === 'string' && data[field] !== '') return;
    const next = { ...data, [field]: randomBytes(KEY_BYTES).toString('base64') };
    try {
      if (current !== undefined) await client.replace({ ...current, data: next });
      else {
        const { apiVersion, kind, name } = reference;
        const metadata = { name, namespace, labels: { [PART_OF_LABEL]: PART_OF } };
        await client.create({ apiVersion, kind, metadata, type: 'Opaque', data: next });
      }
      return;
    } catch (error) {
      if (!isConflict(error) || attempt >= 5) throw error;
    }
  }
}
