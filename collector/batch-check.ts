/** Whether a batch of records is what a sidecar may send: whole lines of one chain, in order, each its own hash, all of its own pod. Pure. */
import type { Buffer } from 'node:buffer';
import { readLink } from '#audit/link.ts';

/** What the sender says of its batch. */
export interface BatchClaim {
  readonly chainId: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** UID of the pod that the token names. */
  readonly podUid: string;
}

export type BatchVerdict =
  | { readonly kind: 'sound'; readonly records: number; readonly firstTimeMs: number }
  | {
      readonly kind: 'refused';
      readonly status: 400 | 403;
      /** CamelCase, stable. */
      readonly reason: 'Malformed' | 'ChainBroken' | 'ForeignRecord';
      readonly message: string;
    };

const NEWLINE = 0x0a;

export function checkBatch(bytes: Buffer, claim: BatchClaim): BatchVerdict {
  let start = 0;
  let seq = claim.firstSeq;
  let prev: string | undefined;
  let firstTimeMs: number | undefined;
  while (start < bytes.length) {
    const end = bytes.indexOf(NEWLINE, start);
    if (end < 0) return refused('Malformed', `the line of record ${seq} is cut off`);
    const link = readLink(bytes, start, end);
    if (link === undefined) return refused('Malformed', `line ${seq - claim.firstSeq + 1} is no record`);
    if (link.chainId !== claim.chainId) return refused('ChainBroken', `record ${link.seq} is of another chain`);
    if (link.seq !== seq) return refused('ChainBroken', `expected record ${seq}, found ${link.seq}`);
    if (link.computed !== link.hash) return refused('ChainBroken', `record ${seq} was changed: its hash does not fit`);
    if (prev !== undefined && link.prev !== prev)
      return refused('ChainBroken', `record ${seq} does not follow ${seq - 1}`);
    if (link.instanceUid !== claim.podUid) {
      return { kind: 'refused', status: 403, reason: 'ForeignRecord', message: `record ${seq} is of another pod` };
    }
    firstTimeMs ??= link.timeMs;
    prev = link.hash;
    seq += 1;
    start = end + 1;
  }
  if (firstTimeMs === undefined) return refused('Malformed', 'there is no record');
  if (seq !== claim.lastSeq + 1)
    return refused('Malformed', `postern-last-seq says ${claim.lastSeq}, the last record is ${seq - 1}`);
  return { kind: 'sound', records: seq - claim.firstSeq, firstTimeMs };
}

function refused(reason: 'Malformed' | 'ChainBroken', message: string): BatchVerdict {
  return { kind: 'refused', status: 400, reason, message };
}
