/**
 * AuditEvent → the OCSF Datastore Activity record of design §6, printed straight in canonical form: members are written in the order that
 * RFC 8785 asks for, because sorting every record would cost more than hashing it (a test compares with the generic printer).
 */
import { canonicalString, canonicalStrings } from './canonical-json.ts';
import type { AuditEvent, SessionContext } from './event.ts';
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

/** What is the same in every record of a session. */
interface SessionText {
  readonly actor: string;
  readonly database: string;
  readonly destination: string;
  readonly source: string;
}

const sessionTexts = new WeakMap<SessionContext, SessionText>();

function sessionText(session: SessionContext): SessionText {
  const known = sessionTexts.get(session);
  if (known !== undefined) return known;
  const text = {
    actor: `{"session":{"uid":${canonicalString(session.sessionUid)}},"user":{"groups":${canonicalStrings(session.groups)},"uid":${canonicalString(session.actorUid)}}}`,
    database: `{"name":${canonicalString(session.database)}}`,
    destination: `{"hostname":${canonicalString(session.hostname)},"port":${session.port}}`,
    source: `{"instance_uid":${canonicalString(session.podUid)}}`,
  };
  sessionTexts.set(session, text);
  return text;
}

/** The parts of a record around `unmapped.chain` and the sequence number. */
export interface RecordText {
  /** Up to the value of metadata.sequence. */
  readonly beforeSequence: string;
  /** From behind that value up to the value of unmapped.chain. */
  readonly beforeChain: string;
  /** From behind that value to the end. */
  readonly afterChain: string;
}

interface Fields {
  readonly activity: number;
  readonly disposition: string;
  readonly session: SessionContext | undefined;
  readonly policies: readonly string[];
  readonly generation: number;
  readonly queryInfo: string | undefined;
  readonly sqlstate: string;
  /** Members of `unmapped` that sort before `chain`, and those after it, each with its comma. */
  readonly unmappedBefore: string;
  readonly unmappedAfter: string;
}

function unmappedAfter(members: readonly (readonly [name: string, json: string | undefined])[]): string {
  let text = '';
  for (const [name, json] of members) if (json !== undefined) text += `,"${name}":${json}`;
  return text;
}

function fieldsOf(event: AuditEvent): Fields {
  switch (event.phase) {
    case 'decision':
      return {
        activity: ACTIVITIES.get(event.command) ?? QUERY,
        disposition: event.disposition,
        session: event.session,
        policies: event.policies,
        generation: event.generation,
        queryInfo: `{"query_string":${canonicalString(redactText(event.queryString))},"uid":${canonicalString(event.statementUid)}}`,
        sqlstate: event.sqlstate,
        unmappedBefore: '',
        unmappedAfter: unmappedAfter([
          ['command', canonicalString(event.command)],
          ['masked', canonicalStrings(event.masked)],
          [
            'parameters',
            event.parameters === undefined
              ? undefined
              : `[${event.parameters.map((value) => (value === null ? 'null' : canonicalString(redactText(value)))).join(',')}]`,
          ],
          ['phase', '"decision"'],
          ['reason', canonicalString(redactText(event.reason))],
          ['relations', canonicalStrings(event.relations)],
          ['rewritten', String(event.rewritten)],
          ['rowFilters', canonicalStrings(event.rowFilters)],
        ]),
      };
    case 'completion':
      return {
        activity: ACTIVITIES.get(event.command) ?? QUERY,
        disposition: event.disposition,
        session: event.session,
        policies: event.policies,
        generation: event.generation,
        queryInfo: `{"uid":${canonicalString(event.statementUid)}}`,
        sqlstate: event.sqlstate,
        unmappedBefore: `"bytes":${event.bytes},`,
        unmappedAfter: unmappedAfter([
          ['command', canonicalString(event.command)],
          ['durationMs', JSON.stringify(event.durationMs)],
          ['phase', '"completion"'],
          ['rows', String(event.rows)],
        ]),
      };
    case 'session':
      return {
        ...NOTHING,
        activity: CONNECT,
        disposition: event.sqlstate === '00000' ? 'Allowed' : 'Denied',
        session: event.session,
        policies: event.policies,
        generation: event.generation,
        sqlstate: event.sqlstate,
        unmappedAfter: unmappedAfter([
          ['phase', '"session"'],
          ['reason', canonicalString(redactText(event.reason))],
        ]),
      };
    case 'policy':
      return {
        ...NOTHING,
        policies: event.policies,
        generation: event.generation,
        unmappedAfter: unmappedAfter([
          ['detail', event.detail === undefined ? undefined : canonicalString(redactText(event.detail))],
          ['phase', '"policy"'],
          ['reason', canonicalString(redactText(event.reason))],
        ]),
      };
    case 'heartbeat':
      return {
        ...NOTHING,
        unmappedAfter: unmappedAfter([
          ['phase', '"heartbeat"'],
          ['sessions', String(event.sessions)],
        ]),
      };
    case 'gap':
      return {
        ...NOTHING,
        unmappedAfter: unmappedAfter([
          ['phase', '"gap"'],
          ['reason', canonicalString(redactText(event.reason))],
        ]),
      };
  }
}

const NOTHING: Fields = {
  activity: OTHER,
  disposition: 'Allowed',
  session: undefined,
  policies: [],
  generation: 0,
  queryInfo: undefined,
  sqlstate: '00000',
  unmappedBefore: '',
  unmappedAfter: '',
};

/** Prints an event, leaving room for its place in the chain. `uid` is a UUID version 7. */
export function printRecord(event: AuditEvent, uid: string, productVersion: string): RecordText {
  const fields = fieldsOf(event);
  const session = fields.session === undefined ? undefined : sessionText(fields.session);
  const member = (name: string, json: string | undefined): string => (json === undefined ? '' : `"${name}":${json},`);
  const beforeSequence =
    `{"action_id":${actionOf(fields.disposition)},"activity_id":${fields.activity},${member('actor', session?.actor)}"category_uid":6,"class_uid":6005,` +
    `${member('database', session?.database)}"disposition":${canonicalString(fields.disposition)},${member('dst_endpoint', session?.destination)}` +
    `"metadata":{"product":{"name":"Postern","version":${canonicalString(productVersion)}},"sequence":`;
  const policyUid = fields.policies.join(',');
  const beforeChain =
    `,"uid":${canonicalString(uid)},"version":"${OCSF_VERSION}"},"policy":{"uid":${canonicalString(policyUid)},"version":"${fields.generation}"},` +
    `${member('query_info', fields.queryInfo)}"severity_id":1,${member('src_endpoint', session?.source)}"status_code":${canonicalString(fields.sqlstate)},` +
    `"time":${event.timeMs},"type_uid":${600500 + fields.activity},"unmapped":{${fields.unmappedBefore}"chain":`;
  return { beforeSequence, beforeChain, afterChain: `${fields.unmappedAfter}}}` };
}
