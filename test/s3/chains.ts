/** Chains of records as sidecars write them, by the product's own printer. */
import { randomBytes, randomUUID } from 'node:crypto';
import { type ChainState, chainEvents, newChain } from '#audit/chain.ts';
import type { AuditEvent } from '#audit/event.ts';
import { LineBuffer } from '#audit/line-buffer.ts';
import { uuidv7 } from '#audit/uuid.ts';

const SESSION = {
  sessionUid: '0192f3a0-0000-7000-8000-000000000001',
  actorUid: 'system:serviceaccount:agents:support-bot',
  groups: ['system:serviceaccounts', 'system:serviceaccounts:agents'],
  hostname: 'shop-db.data.svc',
  port: 5432,
  database: 'shop',
};
const ABOUT = {
  command: 'SELECT',
  disposition: 'Masked',
  policies: ['data/support'],
  generation: 3,
  reason: 'allowed',
  relations: ['public.customers'],
  masked: ['public.customers.email'],
  rowFilters: ['public.customers'],
  rewritten: true,
} as const;

export function decision(timeMs: number, queryString = 'SELECT id, email FROM customers WHERE id = $1'): AuditEvent {
  const statementUid = uuidv7(timeMs, randomBytes(10));
  return {
    phase: 'decision',
    timeMs,
    session: SESSION,
    statementUid,
    about: ABOUT,
    queryString,
    sqlstate: '00000',
    parameters: undefined,
  };
}

/** Consecutive records, as they are posted. */
export interface Batch {
  readonly chainId: string;
  readonly first: number;
  readonly last: number;
  readonly lines: Buffer;
}

/** The chain of one proxy process. */
export class TestChain {
  readonly chainId = randomUUID();
  readonly #lines = new LineBuffer();
  #state: ChainState;

  constructor(instanceUid: string) {
    this.#state = newChain({ chainId: this.chainId, productVersion: '0.1.0', instanceUid });
  }

  add(events: readonly AuditEvent[]): Batch {
    const first = this.#state.seq + 1;
    const uid = (timeMs: number): string => uuidv7(timeMs, randomBytes(10));
    this.#state = chainEvents(this.#state, events, this.#lines, uid);
    return { chainId: this.chainId, first, last: this.#state.seq, lines: Buffer.from(this.#lines.take()) };
  }

  /** So many decisions of this moment. */
  decisions(count: number, timeMs = Date.now()): Batch {
    return this.add(Array.from({ length: count }, () => decision(timeMs)));
  }
}
