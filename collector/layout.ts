/** Where objects lie in the bucket (design §6). Pure. */

/** `event_date=YYYY-MM-DD/hour=HH` of a time, UTC. */
export function hourPartition(timeMs: number): string {
  const text = new Date(timeMs).toISOString();
  return `event_date=${text.slice(0, 10)}/hour=${text.slice(11, 13)}`;
}

export function eventsKey(prefix: string, partition: string, uid: string): string {
  return `${prefix}events/${partition}/${uid}.ndjson.zst`;
}

export function resultsKey(prefix: string, timeMs: number, session: string, uid: string): string {
  return `${prefix}results/event_date=${new Date(timeMs).toISOString().slice(0, 10)}/${session}/${uid}.ndjson.zst`;
}

export function digestKey(prefix: string, timeMs: number, uid: string): string {
  return `${prefix}digests/event_date=${new Date(timeMs).toISOString().slice(0, 10)}/${uid}.jws`;
}
