/** current_setting and set_config: literal names only, by the table of settings; the session learns what was set. */
import { markSensitive, stringLiteral } from './walk.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { quoteLiteral } from './identifiers.ts';
import {
  decideSetting,
  isSettingReadable,
  listedSettings,
  parseSearchPath,
  settingRule,
  takesAnyValue,
} from './settings-list.ts';
import type { Context } from './statement-context.ts';
import { asNode, locationOf, nameList } from './tree-access.ts';

/** The context that settings are decided in. */
export function settingContext(context: Context): {
  readonly schemas: readonly string[];
  readonly statementTimeoutMs: number | undefined;
  readonly readOnly: boolean;
} {
  const { access } = context.input;
  return {
    schemas: access.schemas,
    statementTimeoutMs: access.statementTimeoutMs,
    readOnly: !access.grantsWrite && !access.allowedCommands.has('CREATE TEMPORARY TABLE'),
  };
}

/** A name that is computed: it stands only if it is one of those that may be read, else it is NULL, as an unknown one gives. */
export function wrapSettingName(inner: string): string {
  const names = listedSettings().filter(isSettingReadable).map(quoteLiteral).join(', ');
  return `(SELECT q.o FROM (SELECT (${inner})::pg_catalog.text AS o OFFSET 0) AS q WHERE pg_catalog.lower(q.o) OPERATOR(pg_catalog.=) ANY (ARRAY[${names}]))`;
}

/** Judges a call; `computed` where the name is no literal, so that the caller must wrap it. Throws RefusalError. */
export function settingCall(content: Tree, args: readonly Tree[], context: Context): 'literal' | 'computed' {
  const function_ = nameList(content, 'funcname').at(-1) ?? '';
  const location = locationOf(content);
  const name = stringLiteral(args[0]);
  if (name === undefined && function_ === 'current_setting') return 'computed';
  if (name === undefined)
    return refuse('setting_not_allowed', {
      subject: function_,
      advice: 'write the name of the setting as a literal',
      location,
    });
  markSensitive(context, args[0]);
  if (function_ === 'current_setting') {
    if (!isSettingReadable(name)) refuse('setting_not_allowed', { subject: name, location });
    return 'literal';
  }
  const value = stringLiteral(args[1]);
  const isLocal = asNode(args[2], 'A_Const')?.['boolval'];
  // asyncpg puts `jit` back to what it was with a parameter.
  if (value === undefined && asNode(args[1], 'ParamRef') !== undefined && takesAnyValue(name)) return 'literal';
  if (value === undefined || isLocal === undefined)
    return refuse('setting_not_allowed', { subject: name, advice: 'write the value as a literal', location });
  markSensitive(context, args[1]);
  const local = typeof isLocal === 'object' && isLocal !== null && 'boolval' in isLocal && isLocal.boolval === true;
  const verdict = decideSetting(name, value, settingContext(context));
  if (verdict.kind === 'refused') refuse('setting_not_allowed', { subject: name, advice: verdict.advice, location });
  if (settingRule(name).kind === 'searchPath') {
    context.effects.push({ kind: 'searchPath', schemas: parseSearchPath(value) ?? [], local });
  } else context.effects.push({ kind: 'set', name, value, local });
  return 'literal';
}
