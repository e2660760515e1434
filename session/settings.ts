/**
 * The settings a session starts with: what the client asked for in its start-up message, each item decided, and the gate's pins. They
 * stand in the *server's* start-up message, because RESET ALL and DISCARD ALL return to what was given there (a later SET is wiped).
 * Sources: protocol manual, 54.7 StartupMessage; pg_split_opts and ParseLongOption for `options`.
 */
import type { Denial } from '#policy/decision.ts';
import { denialFor, type ErrorDetail } from '#policy/reasons.ts';
import { decideSetting, parseSearchPath, printSearchPath, type SettingContext } from '#sql/settings-list.ts';
import type { Access } from '#sql/access.ts';

export interface StartupInput {
  /** Parameters of the client's StartupMessage as sent, without `_pq_.*` names. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly access: Pick<
    Access,
    'schemas' | 'defaultSearchPath' | 'statementTimeoutMs' | 'grantsWrite' | 'allowedCommands'
  >;
  /** As policy/mask-key.ts makes them; custom settings, which the agent may neither set nor read. */
  readonly maskKeySettings: ReadonlyMap<string, string>;
  readonly errors: ErrorDetail;
}

export type StartupPlan =
  | {
      readonly kind: 'accepted';
      /** The server's start-up settings, pins last. */
      readonly settings: ReadonlyMap<string, string>;
      /** Schemas of the session's search path, without pg_catalog and pg_temp. */
      readonly searchPath: readonly string[];
    }
  | { readonly kind: 'refused'; readonly denial: Denial };

/** Pins that hold for every session. `role` and settings only a superuser may change need none: the agent cannot set them. */
const pins: ReadonlyMap<string, string> = new Map([
  ['client_encoding', 'UTF8'],
  ['standard_conforming_strings', 'on'],
  ['backslash_quote', 'safe_encoding'],
  ['row_security', 'on'],
  ['array_nulls', 'on'],
  ['transform_null_equals', 'off'],
]);

/** Decides a start-up message. Never throws. */
export function planStartup(input: StartupInput): StartupPlan {
  const requested = collectRequested(input.parameters);
  if (requested.kind === 'refused') return refuseStartup(input, requested);
  const context = settingContext(input.access);
  const settings = new Map<string, string>([['client_min_messages', 'notice']]);
  for (const [name, value] of requested.settings) {
    const decision = decideSetting(name, value, context);
    if (decision.kind === 'refused') {
      return refuseStartup(input, { slug: 'setting_not_allowed', subject: name, advice: `it ${decision.advice}` });
    }
    settings.set(name, value);
  }
  const asked = settings.get('search_path');
  const searchPath = (asked === undefined ? undefined : parseSearchPath(asked)) ?? input.access.defaultSearchPath;
  settings.set('search_path', printSearchPath(searchPath));
  const limitMs = input.access.statementTimeoutMs;
  if (limitMs !== undefined && !settings.has('statement_timeout')) settings.set('statement_timeout', String(limitMs));
  if (context.readOnly) settings.set('default_transaction_read_only', 'on');
  for (const [name, value] of [...pins, ...input.maskKeySettings]) settings.set(name, value);
  return { kind: 'accepted', settings, searchPath: searchPath.filter((name) => name !== 'pg_catalog') };
}

/** What decisions about settings depend on, for start-up and for SET alike. */
export function settingContext(access: StartupInput['access']): SettingContext {
  return {
    schemas: [...new Set([...access.schemas, ...access.defaultSearchPath])],
    statementTimeoutMs: access.statementTimeoutMs,
    readOnly: !access.grantsWrite && !access.allowedCommands.has('CREATE TEMPORARY TABLE'),
  };
}

interface Problem {
  readonly slug: 'setting_not_allowed' | 'protocol_violation';
  readonly subject: string;
  readonly advice: string;
}

type Requested =
  | { readonly kind: 'settings'; readonly settings: ReadonlyMap<string, string> }
  | ({ readonly kind: 'refused' } & Problem);

/** Settings by lower-case name; those in `options` come first, so that parameters of their own win, as in the server. */
function collectRequested(parameters: ReadonlyMap<string, string>): Requested {
  const settings = new Map<string, string>();
  const options = parseStartupOptions(parameters.get('options') ?? '');
  if (options.kind === 'refused') {
    return { kind: 'refused', slug: 'setting_not_allowed', subject: 'options', advice: options.problem };
  }
  for (const [name, value] of options.settings) settings.set(name.toLowerCase(), value);
  for (const [name, value] of parameters) {
    if (name === 'user' || name === 'database' || name === 'options' || name.startsWith('_pq_.')) continue;
    if (name === 'replication') {
      if (/^(?:false|off|no|0|f|n)$/i.test(value)) continue;
      return { kind: 'refused', slug: 'protocol_violation', subject: 'replication is not offered', advice: '' };
    }
    settings.set(name.toLowerCase(), value);
  }
  return { kind: 'settings', settings };
}

export type ParsedOptions =
  | { readonly kind: 'parsed'; readonly settings: readonly (readonly [name: string, value: string])[] }
  | { readonly kind: 'refused'; readonly problem: string };

/** Reads the `options` parameter: `-c name=value`, `-cname=value`, `--name=value`; a backslash takes the next character as it is. */
export function parseStartupOptions(options: string): ParsedOptions {
  const words = splitOptions(options);
  const settings: [string, string][] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? '';
    let assignment: string | undefined;
    if (word === '-c') assignment = words[++index];
    else if (word.startsWith('-c') || word.startsWith('--')) assignment = word.slice(2);
    const equals = assignment?.indexOf('=') ?? -1;
    if (assignment === undefined || equals < 1) {
      return { kind: 'refused', problem: 'it may hold only -c name=value and --name=value' };
    }
    settings.push([assignment.slice(0, equals).replaceAll('-', '_'), assignment.slice(equals + 1)]);
  }
  return { kind: 'parsed', settings };
}

/** As pg_split_opts: words at white space, unless it is escaped. */
function splitOptions(options: string): readonly string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let index = 0; index < options.length; index++) {
    const character = options.charAt(index);
    if (/[ \t\n\v\f\r]/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      if (character === '\\') index++;
      word = (word ?? '') + (character === '\\' ? options.charAt(index) : character);
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** A start-up error ends the connection, also where the same error within a session would not. */
function refuseStartup(input: StartupInput, problem: Problem): StartupPlan {
  const denial = denialFor(problem.slug, { subject: problem.subject, advice: problem.advice }, input.errors);
  return { kind: 'refused', denial: { ...denial, severity: 'FATAL' } };
}
