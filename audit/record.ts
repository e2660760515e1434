/**
 * AuditEvent → the OCSF Datastore Activity record of design §6, printed straight in canonical form: members are written in the order that
 * RFC 8785 asks for, because sorting every record would cost more than hashing it (a test compares with the generic printer). What is the
 * same in every record of a session about one statement is printed once and kept as bytes.
 */
import { Buffer } from 'node:buffer';
import { canonicalString, canonicalStrings } from './canonical-json.ts';
import type { AuditEvent, SessionContext, StatementAbout } from './event.ts';
import type { LineBuffer } from './line-buffer.ts';
import { redactText } from './redact.ts';

/** OCSF schema version and our own. */
const OCSF_VERSION = '1.5.0';

/** OCSF 6005 activities: Read 1, Update 2, Connect 3, Query 4, Write 5, Create 6, Delete 7; 99 other. */
const ACTIVITIES: ReadonlyMap<string, number> = new Map([
  ['SELECT', 1],
  ['COPY', 1],
  ['FETCH', 1],
  ['INSERT', 5],
  ['MERGE', 5],
  ['UPDATE', 2],
  ['DELETE', 7],
  ['TRUNCATE TABLE', 7],
  ['CREATE TABLE', 6],
  ['CREATE TABLE AS', 6],
  ['SELECT INTO', 6],
]);
const QUERY = 4;
const CONNECT = 3;
const OTHER = 99;

/** OCSF action: 1 Allowed, 2 Denied, 4 Modified (masked). */
function actionOf(disposition: string): number {
  if (disposition === 'Masked') return 4;
  return disposition === 'Allowed' || disposition === 'Approved' ? 1 : 2;
}

/** What a record is about. */
interface Subject {
  readonly activity: number;
  readonly disposition: string;
  readonly policies: readonly string[];
  readonly generation: number;
}

/** Whose chain the records join. */
export interface RecordOrigin {
  readonly chainId: string;
  readonly productVersion: string;
  /** UID of the pod; empty outside a cluster. Stands in every record, so that a collector can hold it against the sender's token. */
  readonly instanceUid: string;
}

/** The constant parts of a record, in their order; the names say what stands between them. */
interface Frame {
  readonly beforeSequence: Buffer;
  readonly beforeQuery: Buffer;
  readonly beforeStatus: Buffer;
  readonly afterTime: Buffer;
}

const BEFORE_UID = Buffer.from(',"uid":"');

function frameOf(origin: RecordOrigin, subject: Subject, session: SessionContext | undefined): Frame {
  const { activity, disposition, policies, generation } = subject;
  const actor =
    session === undefined
      ? ''
      : `"actor":{"session":{"uid":${canonicalString(session.sessionUid)}},"user":{"groups":${canonicalStrings(session.groups)},"uid":${canonicalString(session.actorUid)}}},`;
  const database = session === undefined ? '' : `"database":{"name":${canonicalString(session.database)}},`;
  const destination =
    session === undefined
      ? ''
      : `"dst_endpoint":{"hostname":${canonicalString(session.hostname)},"port":${session.port}},`;
  const source = `"src_endpoint":{"instance_uid":${canonicalString(origin.instanceUid)}},`;
  const version = canonicalString(origin.productVersion);
  return {
    beforeSequence: Buffer.from(
      `{"action_id":${actionOf(disposition)},"activity_id":${activity},${actor}"category_uid":6,"class_uid":6005,${database}` +
        `"disposition":${canonicalString(disposition)},${destination}"metadata":{"product":{"name":"Postern","version":${version}},"sequence":`,
    ),
    beforeQuery: Buffer.from(
      `","version":"${OCSF_VERSION}"},"policy":{"uid":${canonicalString(policies.join(','))},"version":"${generation}"},`,
    ),
    beforeStatus: Buffer.from(`"severity_id":1,${source}"status_code":`),
    afterTime: Buffer.from(`,"type_uid":${600500 + activity},"unmapped":{`),
  };
}

/** The constant parts of the records about one statement in one session. */
interface StatementFrame extends Frame {
  readonly command: Buffer;
  readonly commandMasked: Buffer;
  readonly decided: Buffer;
  /** The text that was printed last, and what it was printed as once it came twice: a prepared statement has the same one each time. */
  lastQuery: string | undefined;
  lastPrinted: Buffer | undefined;
}

const statementFrames = new WeakMap<RecordOrigin, WeakMap<SessionContext, WeakMap<StatementAbout, StatementFrame>>>();

function statementFrame(origin: RecordOrigin, session: SessionContext, about: StatementAbout): StatementFrame {
  let sessions = statementFrames.get(origin);
  if (sessions === undefined) statementFrames.set(origin, (sessions = new WeakMap()));
  let frames = sessions.get(session);
  if (frames === undefined) sessions.set(session, (frames = new WeakMap()));
  let frame = frames.get(about);
  if (frame === undefined) {
    const { command, disposition, policies, generation } = about;
    const subject = { activity: ACTIVITIES.get(command) ?? QUERY, disposition, policies, generation };
    const printedCommand = `,"command":${canonicalString(command)}`;
    frame = {
      ...frameOf(origin, subject, session),
      command: Buffer.from(printedCommand),
      commandMasked: Buffer.from(`${printedCommand},"masked":${canonicalStrings(about.masked)}`),
      decided: Buffer.from(
        `,"phase":"decision","reason":${canonicalString(redactText(about.reason))},"relations":${canonicalStrings(about.relations)},` +
          `"rewritten":${about.rewritten},"rowFilters":${canonicalStrings(about.rowFilters)}}}`,
      ),
      lastQuery: undefined,
      lastPrinted: undefined,
    };
    frames.set(about, frame);
  }
  return frame;
}

/** Where a record stands in its chain. */
export interface Place {
  readonly origin: RecordOrigin;
  readonly seq: number;
  /** A UUID version 7. */
  readonly uid: string;
  /** Hash of the line before, 64 digits. */
  readonly prev: string;
}

const NOT_ABOUT_STATEMENTS: Subject = { activity: OTHER, disposition: 'Allowed', policies: [], generation: 0 };

/** Prints an event as one line of its chain, and gives the hash of that line: 64 digits. */
export function printRecord(lines: LineBuffer, event: AuditEvent, place: Place): string {
  switch (event.phase) {
    case 'decision':
      return printDecision(lines, event, place);
    case 'completion':
      return printCompletion(lines, event, place);
    case 'session': {
      const disposition = event.sqlstate === '00000' ? 'Allowed' : 'Denied';
      const { policies, generation, session, sqlstate } = event;
      const frame = frameOf(place.origin, { activity: CONNECT, disposition, policies, generation }, session);
      const rest = `,"phase":"session","reason":${canonicalString(redactText(event.reason))}}}`;
      return printPlain(lines, frame, place, { timeMs: event.timeMs, sqlstate, rest });
    }
    case 'policy': {
      const detail = event.detail === undefined ? '' : `,"detail":${canonicalString(redactText(event.detail))}`;
      const { policies, generation, timeMs } = event;
      const frame = frameOf(place.origin, { ...NOT_ABOUT_STATEMENTS, policies, generation }, undefined);
      const rest = `${detail},"phase":"policy","reason":${canonicalString(redactText(event.reason))}}}`;
      return printPlain(lines, frame, place, { timeMs, sqlstate: '00000', rest });
    }
    case 'heartbeat':
    case 'gap': {
      const frame = frameOf(place.origin, NOT_ABOUT_STATEMENTS, undefined);
      const rest = event.phase === 'gap' ? printGap(event) : `,"phase":"heartbeat","sessions":${event.sessions}}}`;
      return printPlain(lines, frame, place, {
        timeMs: event.timeMs,
        sqlstate: '00000',
        before: event.phase === 'gap' ? printAfter(event) : '',
        rest,
      });
    }
  }
}

type GapEvent = Extract<AuditEvent, { phase: 'gap' }>;

/** Sorts before the chain. */
function printAfter({ after }: GapEvent): string {
  return after === undefined ? '' : `"after":{"chain":${canonicalString(after.chain)},"seq":${after.seq}},`;
}

function printGap({ lost, reason }: GapEvent): string {
  const count = lost === undefined ? '' : `,"lost":${lost}`;
  return `${count},"phase":"gap","reason":${canonicalString(redactText(reason))}}}`;
}

function printPlain(
  lines: LineBuffer,
  frame: Frame,
  place: Place,
  fields: { readonly timeMs: number; readonly sqlstate: string; readonly before?: string; readonly rest: string },
): string {
  printStart(lines, frame, place);
  printStatus(lines, frame, fields.sqlstate, fields.timeMs);
  if (fields.before !== undefined) lines.addText(fields.before);
  const position = printChain(lines, place);
  lines.addText(fields.rest);
  return lines.endLine(position);
}

/** A longer text is printed again each time rather than kept. */
const KEPT_QUERY_LENGTH = 1_024;
const QUERY_UID = Buffer.from('"query_info":{"uid":"');
const QUERY_END = Buffer.from('"},');

function printDecision(lines: LineBuffer, event: Extract<AuditEvent, { phase: 'decision' }>, place: Place): string {
  const frame = statementFrame(place.origin, event.session, event.about);
  printStart(lines, frame, place);
  printQuery(lines, frame, event.queryString);
  lines.addText(event.statementUid);
  lines.add(QUERY_END);
  printStatus(lines, frame, event.sqlstate, event.timeMs);
  const position = printChain(lines, place);
  lines.add(frame.commandMasked);
  if (event.parameters !== undefined) lines.addText(`,"parameters":[${printParameters(event.parameters)}]`);
  lines.add(frame.decided);
  return lines.endLine(position);
}

/** Up to the statement's identifier. */
function printQuery(lines: LineBuffer, frame: StatementFrame, text: string): void {
  const isSame = frame.lastQuery === text;
  if (isSame && frame.lastPrinted !== undefined) {
    lines.add(frame.lastPrinted);
    return;
  }
  const printed = `"query_info":{"query_string":${canonicalString(redactText(text))},"uid":"`;
  lines.addText(printed);
  frame.lastPrinted = isSame ? Buffer.from(printed) : undefined;
  frame.lastQuery = text.length <= KEPT_QUERY_LENGTH ? text : undefined;
}

function printParameters(parameters: readonly (string | null)[]): string {
  return parameters.map((value) => (value === null ? 'null' : canonicalString(redactText(value)))).join(',');
}

const BYTES = Buffer.from('"bytes":');
const COMMA = Buffer.from(',');
const DURATION = Buffer.from(',"durationMs":');
const COMPLETION_ROWS = Buffer.from(',"phase":"completion","rows":');
const RECORD_END = Buffer.from('}}');

function printCompletion(lines: LineBuffer, event: Extract<AuditEvent, { phase: 'completion' }>, place: Place): string {
  const frame = statementFrame(place.origin, event.session, event.about);
  printStart(lines, frame, place);
  lines.add(QUERY_UID);
  lines.addText(event.statementUid);
  lines.add(QUERY_END);
  printStatus(lines, frame, event.sqlstate, event.timeMs);
  lines.add(BYTES);
  lines.addNumber(event.bytes);
  lines.add(COMMA);
  const position = printChain(lines, place);
  lines.add(frame.command);
  lines.add(DURATION);
  // To the microsecond: what is finer is noise, and long in print.
  lines.addText(String(Math.round(event.durationMs * 1_000) / 1_000));
  lines.add(COMPLETION_ROWS);
  lines.addNumber(event.rows);
  lines.add(RECORD_END);
  return lines.endLine(position);
}

function printStart(lines: LineBuffer, frame: Frame, place: Place): void {
  lines.add(frame.beforeSequence);
  lines.addNumber(place.seq);
  lines.add(BEFORE_UID);
  lines.addText(place.uid);
  lines.add(frame.beforeQuery);
}

const SUCCESS = Buffer.from('"00000","time":');

function printStatus(lines: LineBuffer, frame: Frame, sqlstate: string, timeMs: number): void {
  lines.add(frame.beforeStatus);
  if (sqlstate === '00000') lines.add(SUCCESS);
  else lines.addText(`${canonicalString(sqlstate)},"time":`);
  lines.addNumber(timeMs);
  lines.add(frame.afterTime);
}

const CHAIN = Buffer.from('"chain":{');
const CHAIN_PREV = Buffer.from('","prev":"sha256:');
const CHAIN_SEQ = Buffer.from('","seq":');
const CHAIN_END = Buffer.from('}');

/** Gives the position at which the hash goes. */
function printChain(lines: LineBuffer, place: Place): number {
  lines.add(CHAIN);
  const { position } = lines;
  lines.addText(`"id":"${place.origin.chainId}`);
  lines.add(CHAIN_PREV);
  lines.addText(place.prev);
  lines.add(CHAIN_SEQ);
  lines.addNumber(place.seq);
  lines.add(CHAIN_END);
  return position;
}
