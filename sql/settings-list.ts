/**
 * Which run-time settings an agent may change, and to what. One table for SET, set_config, SHOW, current_setting and start-up options;
 * a name that is not listed is refused. Pins: design §3. Source of names and value syntax: PostgreSQL manual, chapter 19.
 */

import { displayName } from './identifiers.ts';

/** What may be done with one setting. */
export type SettingRule =
  /** Any value. */
  | { readonly kind: 'free' }
  /** One of these, lower case; compared without case. Booleans are spelled `on` and `off`. */
  | { readonly kind: 'values'; readonly allowed: readonly string[] }
  /** Only the value already in force, however spelled; `value` is what SHOW answers. */
  | { readonly kind: 'pinned'; readonly value: string; readonly spellings: readonly string[] }
  /** A list of schemas within the granted ones. */
  | { readonly kind: 'searchPath' }
  /** A duration at or below the policy's statement time limit. */
  | { readonly kind: 'timeout' }
  /** A boolean that must stay on where the policy grants no write. */
  | { readonly kind: 'readOnly' }
  | { readonly kind: 'refused' };

/** What a decision about a setting depends on besides name and value. */
export interface SettingContext {
  /** Schemas the search path may name besides pg_catalog and information_schema. */
  readonly schemas: readonly string[];
  /** The policy's limit; absent: none. */
  readonly statementTimeoutMs?: number | undefined;
  /** Neither a write nor CREATE TEMPORARY TABLE is granted: transactions stay read-only by default. */
  readonly readOnly: boolean;
}

const booleans = ['on', 'off'];
const isolationLevels = ['serializable', 'repeatable read', 'read committed', 'read uncommitted'];
const free: SettingRule = { kind: 'free' };
const refused: SettingRule = { kind: 'refused' };
const boolean: SettingRule = { kind: 'values', allowed: booleans };
const pinnedOn: SettingRule = { kind: 'pinned', value: 'on', spellings: ['on'] };
const pinnedOff: SettingRule = { kind: 'pinned', value: 'off', spellings: ['off'] };

/** Keys are lower case: setting names are case-insensitive. */
const rules: ReadonlyMap<string, SettingRule> = new Map<string, SettingRule>([
  ['application_name', free],
  ['datestyle', free],
  ['timezone', free],
  ['intervalstyle', { kind: 'values', allowed: ['postgres', 'postgres_verbose', 'sql_standard', 'iso_8601'] }],
  ['extra_float_digits', { kind: 'values', allowed: Array.from({ length: 19 }, (_, index) => String(index - 15)) }],
  ['bytea_output', { kind: 'values', allowed: ['hex', 'escape'] }],
  ['xmlbinary', { kind: 'values', allowed: ['base64', 'hex'] }],
  ['xmloption', { kind: 'values', allowed: ['content', 'document'] }],
  ['lc_monetary', free],
  ['lc_numeric', free],
  ['lc_time', free],
  ['client_min_messages', { kind: 'values', allowed: ['notice', 'warning', 'error'] }],
  ['jit', boolean],
  ['check_function_bodies', boolean],
  ['escape_string_warning', boolean],
  ['quote_all_identifiers', boolean],
  ['synchronize_seqscans', boolean],
  ['plan_cache_mode', { kind: 'values', allowed: ['auto', 'force_generic_plan', 'force_custom_plan'] }],
  ['default_text_search_config', { kind: 'values', allowed: ['pg_catalog.simple', 'pg_catalog.english'] }],
  ['lock_timeout', free],
  ['idle_in_transaction_session_timeout', free],
  ['idle_session_timeout', free],
  ['transaction_timeout', free],
  ['default_transaction_isolation', { kind: 'values', allowed: isolationLevels }],
  ['transaction_isolation', { kind: 'values', allowed: isolationLevels }],
  ['default_transaction_deferrable', boolean],
  ['transaction_deferrable', boolean],
  ['default_transaction_read_only', { kind: 'readOnly' }],
  ['transaction_read_only', { kind: 'readOnly' }],
  ['statement_timeout', { kind: 'timeout' }],
  ['search_path', { kind: 'searchPath' }],
  ['client_encoding', { kind: 'pinned', value: 'UTF8', spellings: ['utf8', 'utf-8', 'utf_8', 'unicode'] }],
  ['standard_conforming_strings', pinnedOn],
  ['backslash_quote', { kind: 'pinned', value: 'safe_encoding', spellings: ['safe_encoding'] }],
  ['row_security', pinnedOn],
  ['array_nulls', pinnedOn],
  ['transform_null_equals', pinnedOff],
  ['lo_compat_privileges', pinnedOff],
  ['role', { kind: 'pinned', value: 'none', spellings: ['none'] }],
  ['session_authorization', refused],
]);

/** Settings whose values tell of files, commands, hosts or other systems; a dotted (custom) name is never readable. */
const unreadable =
  /\.|_(?:file|files|command|commands|directory|directories|library|libraries|conninfo|names|path)$|^(?:ssl|krb|gss|log|logging|archive|recovery|restore|primary|syslog|event_source|external_pid|listen_addresses|cluster_name|oauth|promote|local_preload|shared_preload|session_preload)/;

/** The rule for a setting; names are compared without case, unknown ones are refused. */
export function settingRule(name: string): SettingRule {
  return rules.get(name.toLowerCase()) ?? refused;
}

/** Names with a rule other than refusal, in table order. */
export function listedSettings(): readonly string[] {
  return [...rules.keys()];
}

/** Whether SHOW and current_setting may name it. `postern.*` and every other custom setting may not. */
export function isSettingReadable(name: string): boolean {
  const lower = name.toLowerCase();
  return rules.has(lower) || !unreadable.test(lower);
}

/** Why a value is refused, as the end of a message: `must stay UTF8`. */
export interface SettingRefusal {
  readonly kind: 'refused';
  readonly advice: string;
}

/**
 * Whether the agent may set `name` to `value` (the text without SQL quotes; for search_path the list as one text).
 * The answer holds for SET, SET LOCAL, set_config and start-up alike.
 */
export function decideSetting(
  name: string,
  value: string,
  context: SettingContext,
): { readonly kind: 'allowed' } | SettingRefusal {
  const rule = settingRule(name);
  switch (rule.kind) {
    case 'free':
      return value.includes('\0') ? refusal('must not hold a NUL') : allowed;
    case 'values':
      return rule.allowed.includes(normalise(value, rule.allowed))
        ? allowed
        : refusal(`may be ${rule.allowed.join(', ')}`);
    case 'pinned':
      return rule.spellings.includes(normalise(value, rule.spellings)) ? allowed : refusal(`must stay ${rule.value}`);
    case 'readOnly':
      return decideReadOnly(value, context);
    case 'timeout':
      return decideTimeout(value, context.statementTimeoutMs);
    case 'searchPath':
      return decideSearchPath(value, context.schemas);
    case 'refused':
      return refusal('cannot be changed through the gate');
  }
}

/** Whether every value that the server accepts for it is allowed, so that the value may be a parameter. */
export function takesAnyValue(name: string): boolean {
  const rule = settingRule(name);
  return rule.kind === 'free' || (rule.kind === 'values' && rule.allowed === booleans);
}

/** Milliseconds of a duration as PostgreSQL reads it (`500`, `1min`, `'2 s'`); `undefined`: not a duration. */
export function parseDurationMs(value: string): number | undefined {
  const match = /^\s*(\d{1,10}(?:\.\d{1,6})?)\s*(us|ms|s|min|h|d)?\s*$/.exec(value);
  if (match === null) return undefined;
  const factor = unitMs.get(match[2] ?? 'ms');
  return factor === undefined ? undefined : Math.round(Number(match[1]) * factor);
}

/**
 * Schema names of a search_path text, as PostgreSQL's SplitIdentifierString reads it: unquoted names in lower case.
 * `undefined`: not a list of names. An empty text is an empty list.
 */
export function parseSearchPath(value: string): readonly string[] | undefined {
  const names: string[] = [];
  let rest = value.trim();
  if (rest === '') return names;
  for (;;) {
    const match = /^(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(,\s*|$)/.exec(rest);
    if (match === null) return undefined;
    const quoted = match[1];
    names.push(quoted === undefined ? asciiLower(match[2] ?? '') : quoted.replaceAll('""', '"'));
    rest = rest.slice(match[0].length);
    if (match[3] === '') return names;
    if (rest === '') return undefined;
  }
}

/**
 * The text that search_path is set to upstream. `pg_temp` stands last: else the server searches it before pg_catalog, and a temporary
 * table named `text` would take the place of the type in every cast.
 */
export function printSearchPath(schemas: readonly string[]): string {
  return [...schemas.map(displayName), 'pg_temp'].join(', ');
}

const allowed = { kind: 'allowed' } as const;

const unitMs: ReadonlyMap<string, number> = new Map([
  ['us', 0.001],
  ['ms', 1],
  ['s', 1000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

function refusal(advice: string): SettingRefusal {
  return { kind: 'refused', advice };
}

function decideReadOnly(value: string, context: SettingContext): { readonly kind: 'allowed' } | SettingRefusal {
  const normal = normalise(value, booleans);
  if (!booleans.includes(normal)) return refusal('may be on, off');
  return normal === 'off' && context.readOnly ? refusal('must stay on, because no write is granted') : allowed;
}

function decideTimeout(value: string, limitMs: number | undefined): { readonly kind: 'allowed' } | SettingRefusal {
  const timeoutMs = parseDurationMs(value);
  if (timeoutMs === undefined) return refusal('must be a duration');
  if (limitMs === undefined) return allowed;
  return timeoutMs > 0 && timeoutMs <= limitMs ? allowed : refusal(`must be at most ${limitMs}ms`);
}

function decideSearchPath(value: string, schemas: readonly string[]): { readonly kind: 'allowed' } | SettingRefusal {
  const names = parseSearchPath(value);
  if (names === undefined) return refusal('must be a list of schemas');
  const isGranted = (name: string): boolean =>
    name === 'pg_catalog' || name === 'information_schema' || schemas.includes(name);
  // Behind another schema, names of that schema would take the place of the system's own.
  if (names.includes('pg_catalog') && names[0] !== 'pg_catalog')
    return refusal('must name pg_catalog first, or not at all');
  return names.every(isGranted) ? allowed : refusal(`may name only ${[...schemas, 'pg_catalog'].join(', ')}`);
}

/** Lower case; for booleans any unambiguous spelling that PostgreSQL accepts becomes `on` or `off`. */
function normalise(value: string, spellings: readonly string[]): string {
  const lower = value.trim().toLowerCase();
  const unquoted = /^'(.*)'$/.exec(lower)?.[1] ?? lower;
  if (!spellings.includes('on') && !spellings.includes('off')) return unquoted;
  if (/^(?:on|1|t|tr|tru|true|y|ye|yes)$/.test(unquoted)) return 'on';
  return /^(?:of|off|0|f|fa|fal|fals|false|n|no)$/.test(unquoted) ? 'off' : unquoted;
}

/** The server folds only ASCII letters of unquoted names in a multi-byte encoding. */
function asciiLower(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
