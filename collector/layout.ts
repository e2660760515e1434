/** Where objects lie in the bucket (design §6). Pure. */

/** The last millisecond whose year has four digits: a clock that is far beyond it must not make folders that sort wrongly. */
const LAST_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** `event_date=YYYY-MM-DD/hour=HH` of a time, UTC. */
export function hourPartition(timeMs: number): string {
  return `${datePartition(timeMs)}/hour=${textOf(timeMs).slice(11, 13)}`;
}

export function eventsKey(prefix: string, partition: string, uid: string): string {
  return `${prefix}events/${partition}/${uid}.ndjson.zst`;
}

export function resultsKey(prefix: string, timeMs: number, session: string, uid: string): string {
  return `${prefix}results/${datePartition(timeMs)}/${session}/${uid}.ndjson.zst`;
}

export function digestKey(prefix: string, timeMs: number, uid: string): string {
  return `${prefix}digests/${datePartition(timeMs)}/${uid}.jws`;
}

function datePartition(timeMs: number): string {
  return `event_date=${textOf(timeMs).slice(0, 10)}`;
}

function textOf(timeMs: number): string {
  return new Date(Math.min(timeMs, LAST_TIME_MS)).toISOString();
}
