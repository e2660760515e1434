/**
 * Runs steps in a session of their own and keeps everything that the server says, as bytes: rows, descriptions, errors with all their fields,
 * notices, command tags, COPY data, changes of settings, transaction states.
 */
import { BACKEND } from '#wire/messages.ts';
import { decodeErrorFields } from '#wire/decode.ts';
import * as encode from '#wire/encode.ts';
import { RawSession } from '#test/raw-session.ts';

/** A string is a simple query. */
export type Step =
  | string
  | {
      /** Parse, Bind, Describe, Execute, Sync. */
      readonly parse: string;
      readonly parameters?: readonly (string | undefined)[];
      readonly types?: readonly number[];
      readonly binary?: boolean;
      /** Execute in portions of this many rows, three times, before Sync. */
      readonly portion?: number;
    }
  /** Parse and Describe of the statement, no Execute. */
  | { readonly describe: string }
  /** COPY FROM STDIN with this data. */
  | { readonly copyIn: string; readonly data: string };

function frames(step: Exclude<Step, string>): readonly Buffer[] {
  if ('copyIn' in step) return [encode.encodeQuery(step.copyIn)];
  if ('describe' in step) {
    return [
      encode.encodeParse('d', step.describe, []),
      encode.encodeDescribe('statement', 'd'),
      encode.encodeClose('statement', 'd'),
      encode.encodeSync(),
    ];
  }
  const parameters = (step.parameters ?? []).map((value) => (value === undefined ? undefined : Buffer.from(value)));
  const executes = step.portion === undefined ? [0] : [step.portion, step.portion, step.portion];
  return [
    encode.encodeParse('', step.parse, step.types ?? []),
    encode.encodeBind({
      portal: '',
      statement: '',
      parameterFormats: [],
      parameters,
      resultFormats: step.binary === true ? [1] : [],
    }),
    encode.encodeDescribe('portal', ''),
    ...executes.map((count) => encode.encodeExecute('', count)),
    encode.encodeSync(),
  ];
}

/** Name, table OID, attribute number, type, size, modifier and format of each column. */
function describedColumns(bytes: Buffer): readonly string[] {
  const columns: string[] = [];
  let at = 7;
  while (at < bytes.length) {
    const end = bytes.indexOf(0, at);
    const name = JSON.stringify(bytes.toString('utf8', at, end));
    const table = bytes.readUInt32BE(end + 1);
    const type = bytes.readUInt32BE(end + 7);
    const rest = bytes.toString('hex', end + 11, end + 19);
    columns.push(`${name} of ${table} ${bytes.readInt16BE(end + 5)} type ${type} ${rest}`);
    at = end + 19;
  }
  return columns;
}

/** One line for each message; unprintable bytes escaped, so that equal lines mean equal bytes. */
function line(tag: number, bytes: Buffer): string {
  const letter = String.fromCharCode(tag);
  if (tag === BACKEND.errorResponse || tag === BACKEND.noticeResponse) {
    const fields = [...decodeErrorFields(bytes, 0, bytes.length)].map(([name, value]) => `${name}=${value}`);
    return `${letter} ${fields.join(' | ')}`;
  }
  if (tag === BACKEND.rowDescription) return `T ${describedColumns(bytes).join(', ')}`;
  const body = bytes.toString('latin1', 5);
  const shown = body.replace(/[\x00-\x1f\x7f-\xff\\]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
  return `${letter} ${shown}`;
}

const CLOSED = '(connection closed)';

/** A session that stays open from one observation to the next. */
export interface Observer {
  /** Everything the server says to the step; `(connection closed)` last where it hung up. */
  readonly see: (step: Step) => Promise<readonly string[]>;
  readonly close: () => void;
}

export async function openObserver(port: number, database = 'shop'): Promise<Observer> {
  const session = await RawSession.open(port, 0, database);
  return {
    see: async (step) => {
      let problem: string | undefined;
      session.messages.length = 0;
      try {
        if (typeof step === 'string') await session.ask(1, encode.encodeQuery(step));
        else if ('copyIn' in step) await copyIn(session, step);
        else await session.ask(1, ...frames(step));
      } catch (error) {
        problem = String(error);
      }
      const seen = session.messages.map(({ tag, bytes }) => line(tag, bytes));
      if (problem !== undefined) seen.push(problem);
      if (session.isClosed) seen.push(CLOSED);
      return seen;
    },
    close: () => session.close(),
  };
}

/** Everything the server at that port says to the steps. A refused start-up is an observation too. */
export async function observe(port: number, steps: readonly Step[], database = 'shop'): Promise<readonly string[]> {
  return (await observeSteps(port, steps, database)).flat();
}

/** The same, step by step; there are fewer where the server hangs up. */
export async function observeSteps(
  port: number,
  steps: readonly Step[],
  database = 'shop',
): Promise<readonly (readonly string[])[]> {
  const observer = await openObserver(port, database);
  const seen: (readonly string[])[] = [];
  for (const step of steps) {
    const answer = await observer.see(step);
    seen.push(answer);
    if (answer.at(-1) === CLOSED || answer.at(-1)?.startsWith('Error: ') === true) break;
  }
  observer.close();
  return seen;
}

async function copyIn(session: RawSession, step: { readonly copyIn: string; readonly data: string }): Promise<void> {
  session.messages.length = 0;
  session.send(encode.encodeQuery(step.copyIn));
  const answered = (): boolean =>
    session.messages.some(({ tag }) => tag === BACKEND.copyInResponse || tag === BACKEND.readyForQuery);
  await session.wait(answered);
  if (session.messages.some(({ tag }) => tag === BACKEND.copyInResponse)) {
    session.send(encode.encodeCopyData(Buffer.from(step.data)), encode.encodeCopyDone());
  }
  await session.until(1);
}

/** Whether the gate refused one of the steps itself (field R holds its reason). */
export function isRefusedByGate(seen: readonly string[]): boolean {
  return seen.some((text) => /^E .*R=postern:/.test(text));
}
