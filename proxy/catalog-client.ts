/** The gate's own connection for reading the catalog: one statement at a time through the simple protocol, rows as text. */
import { DependencyError } from './dependency-error.ts';
import { ReadBuffer } from './read-buffer.ts';
import { connectUpstream, type UpstreamTarget } from './upstream.ts';
import { decodeErrorFields } from './upstream-frames.ts';

export interface CatalogClient {
  /** Rows of one statement, each value as the server printed it. Rejects with DependencyError; one at a time. */
  readonly query: (sql: string) => Promise<readonly (readonly (string | null)[])[]>;
  readonly serverVersionNum: number;
  readonly close: () => void;
}

interface Pending {
  readonly rows: (string | null)[][];
  readonly resolve: (rows: readonly (readonly (string | null)[])[]) => void;
  readonly reject: (error: DependencyError) => void;
  failure?: DependencyError;
}

/** Start-up settings that make the server's text answers the same whatever the role or database has set. */
const settings: ReadonlyMap<string, string> = new Map([
  ['client_encoding', 'UTF8'],
  ['application_name', 'postern catalog'],
  ['standard_conforming_strings', 'on'],
  ['client_min_messages', 'warning'],
  ['statement_timeout', '60000'],
  ['quote_all_identifiers', 'off'],
]);

/** Opens the connection. Rejects with DependencyError. */
export async function openCatalogClient(target: UpstreamTarget, signal?: AbortSignal): Promise<CatalogClient> {
  const reader = new ReadBuffer({ sizeBytes: 65_536 });
  const upstream = await connectUpstream(target, settings, reader, signal === undefined ? {} : { signal });
  const { socket } = upstream;
  let waiting: Pending | undefined;
  let buffered: Buffer = Buffer.alloc(0);
  const lose = (): void => {
    waiting?.reject(new DependencyError('08006', 'the database closed the connection while its catalog was read'));
    waiting = undefined;
  };
  socket.on('close', lose);
  reader.receive = (bytes) => {
    buffered = buffered.length === 0 ? Buffer.from(bytes) : Buffer.concat([buffered, bytes]);
    let offset = 0;
    while (offset + 5 <= buffered.length) {
      const end = offset + 1 + buffered.readUInt32BE(offset + 1);
      if (end > buffered.length) break;
      waiting = take(waiting, String.fromCharCode(buffered[offset] ?? 0), buffered.subarray(offset + 5, end));
      offset = end;
    }
    buffered = buffered.subarray(offset);
    return true;
  };
  return {
    serverVersionNum: upstream.serverVersionNum,
    query: (sql) =>
      new Promise((resolve, reject) => {
        if (waiting !== undefined || socket.destroyed) {
          reject(new DependencyError('08006', 'the connection that reads the catalog is not free'));
          return;
        }
        waiting = { rows: [], resolve, reject };
        const text = Buffer.from(`${sql}\0`);
        const header = Buffer.from([0x51, 0, 0, 0, 0]);
        header.writeInt32BE(text.length + 4, 1);
        socket.write(Buffer.concat([header, text]));
      }),
    close: () => {
      socket.end(Buffer.from([0x58, 0, 0, 0, 4]));
      socket.unref();
      setTimeout(() => socket.destroy(), 1000).unref();
    },
  };
}

/** Folds one message into the pending answer; ReadyForQuery settles it. */
function take(pending: Pending | undefined, type: string, body: Buffer): Pending | undefined {
  if (pending === undefined) return undefined;
  if (type === 'D') pending.rows.push(decodeRow(body));
  else if (type === 'E') {
    const fields = decodeErrorFields(body);
    const detail = `${fields.get('C') ?? ''}: ${fields.get('M') ?? ''}`;
    pending.failure ??= new DependencyError('08006', 'the catalog of the database cannot be read', { detail });
  } else if (type === 'Z') {
    if (pending.failure === undefined) pending.resolve(pending.rows);
    else pending.reject(pending.failure);
    return undefined;
  }
  return pending;
}

function decodeRow(body: Buffer): (string | null)[] {
  const row: (string | null)[] = [];
  let offset = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(offset);
    offset += 4;
    row.push(length < 0 ? null : body.toString('utf8', offset, offset + length));
    offset += Math.max(length, 0);
  }
  return row;
}
