/** Statements that are not queries: settings, transactions, cursors, prepared statements, temporary tables. Whatever is not listed is refused. */
import { walkList } from './walk.ts';
import { processQuery, withNestedFacts } from './query-info.ts';
import { commandTag } from './command-tags.ts';
import { analyzeTable, createIndex, createTable, createTableAs, dropTable, truncateTable } from './temporary-table.ts';
import { explain } from './explain-statement.ts';
import type { Tree } from './parser.ts';
import { executePrepared, prepareStatement } from './prepared-statement.ts';
import { refuse } from './refusal.ts';
import { newScope } from './scope.ts';
import { settingContext } from './setting-call.ts';
import { decideSetting, isSettingReadable, settingRule } from './settings-list.ts';
import type { Context } from './statement-context.ts';
import {
  asNode,
  booleanField,
  isTree,
  listField,
  locationOf,
  numberField,
  stringField,
  treeField,
} from './tree-access.ts';
import { processCopy } from './write.ts';

type Walk = (content: Tree, context: Context) => void;

/** Value of a constant in SET or of an option: text, digits, or a keyword. */
function constantText(node: Tree | undefined): string | undefined {
  const cast = asNode(node, 'TypeCast');
  const constant = asNode(cast === undefined ? node : treeField(cast, 'arg'), 'A_Const');
  if (constant === undefined) return undefined;
  if (isTree(constant['sval'])) return stringField(constant['sval'], 'sval') ?? '';
  if (isTree(constant['ival'])) return String(numberField(constant['ival'], 'ival') ?? 0);
  if (isTree(constant['fval'])) return stringField(constant['fval'], 'fval');
  if (isTree(constant['boolval'])) return constant['boolval']['boolval'] === true ? 'on' : 'off';
  return undefined;
}

function refuseSetting(name: string, advice: string | undefined, location: number): never {
  return refuse('setting_not_allowed', {
    subject: name,
    ...(advice === undefined ? {} : { advice }),
    ...(location > 0 ? { location } : {}),
  });
}

function setPath(values: readonly string[], local: boolean, name: string, location: number, context: Context): void {
  const quoted = values.map((value) => `"${value.replaceAll('"', '""')}"`).join(', ');
  const verdict = decideSetting(name, quoted, settingContext(context));
  if (verdict.kind === 'refused') refuseSetting(name, verdict.advice, location);
  context.effects.push({ kind: 'searchPath', schemas: values, local });
}

function setValue(content: Tree, context: Context): void {
  const name = stringField(content, 'name') ?? '';
  const local = booleanField(content, 'is_local');
  const location = locationOf(content);
  const args = listField(content, 'args');
  const values = args.map(constantText);
  if (values.some((value) => value === undefined) || values.length === 0)
    return refuseSetting(name, 'write the value as a literal', location);
  const texts = values.filter((value) => value !== undefined);
  if (settingRule(name).kind === 'searchPath') return setPath(texts, local, name, location, context);
  const interval = args.length === 1 && asNode(args[0], 'TypeCast') !== undefined;
  if (interval && name.toLowerCase() !== 'timezone')
    return refuseSetting(name, 'write the value as a plain literal', location);
  const value = texts.join(', ');
  const verdict = decideSetting(name, value, settingContext(context));
  if (verdict.kind === 'refused') refuseSetting(name, verdict.advice, location);
  context.effects.push({ kind: 'set', name, value, local });
}

/** Options of BEGIN, SET TRANSACTION and SET SESSION CHARACTERISTICS. */
function transactionOptions(options: readonly Tree[], context: Context): void {
  for (const element of options) {
    const option = asNode(element, 'DefElem') ?? refuse('not_supported', { subject: 'a transaction option' });
    const name = stringField(option, 'defname') ?? '';
    const raw = treeField(option, 'arg');
    const value = constantText(raw) ?? refuse('not_supported', { subject: name });
    if (name === 'transaction_read_only') {
      const verdict = decideSetting(
        'transaction_read_only',
        value === '1' || value === 'on' ? 'on' : 'off',
        settingContext(context),
      );
      if (verdict.kind === 'refused') refuseSetting(name, verdict.advice, locationOf(option));
    } else if (name !== 'transaction_isolation' && name !== 'transaction_deferrable')
      refuse('not_supported', { subject: name });
  }
}

function variableSet(content: Tree, context: Context): void {
  const name = stringField(content, 'name') ?? '';
  const location = locationOf(content);
  switch (stringField(content, 'kind')) {
    case 'VAR_SET_VALUE':
      return setValue(content, context);
    case 'VAR_SET_MULTI':
      if (name === 'TRANSACTION SNAPSHOT')
        return refuse('statement_not_allowed', { subject: 'SET TRANSACTION SNAPSHOT' });
      return transactionOptions(listField(content, 'args'), context);
    case 'VAR_SET_DEFAULT':
    case 'VAR_RESET': {
      // Resetting gives the start-up value, and pins are start-up values.
      const lower = name.toLowerCase();
      if (lower === 'transaction_isolation' || lower === 'transaction_read_only') return;
      if (!isSettingReadable(name)) refuseSetting(name, undefined, location);
      const local = booleanField(content, 'is_local');
      context.effects.push(
        settingRule(name).kind === 'searchPath'
          ? { kind: 'searchPath', schemas: undefined, local }
          : { kind: 'set', name, value: undefined, local },
      );
      return;
    }
    case 'VAR_RESET_ALL':
      context.effects.push({ kind: 'resetAll' });
      return;
    default:
      return refuse('not_supported', { subject: `SET ${name}` });
  }
}

function variableShow(content: Tree): void {
  const name = stringField(content, 'name') ?? '';
  if (name.toLowerCase() === 'all')
    return refuse('setting_not_allowed', { subject: 'ALL', advice: 'name one setting' });
  if (!isSettingReadable(name)) refuseSetting(name, undefined, 0);
}

const SAVEPOINT_EFFECTS = {
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollbackTo',
} as const;

function transaction(content: Tree, context: Context): void {
  const kind = stringField(content, 'kind') ?? 'TRANS_STMT_BEGIN';
  switch (kind) {
    case 'TRANS_STMT_BEGIN':
    case 'TRANS_STMT_START':
      transactionOptions(listField(content, 'options'), context);
      context.effects.push({ kind: 'begin' });
      return;
    case 'TRANS_STMT_COMMIT':
      context.effects.push({ kind: 'commit' });
      return;
    case 'TRANS_STMT_ROLLBACK':
      context.effects.push({ kind: 'rollback' });
      return;
    case 'TRANS_STMT_SAVEPOINT':
    case 'TRANS_STMT_RELEASE':
    case 'TRANS_STMT_ROLLBACK_TO':
      context.effects.push({ kind: SAVEPOINT_EFFECTS[kind], name: stringField(content, 'savepoint_name') ?? '' });
      return;
    default:
      return refuse('statement_not_allowed', { subject: commandTag('TransactionStmt', content) });
  }
}

function discard(content: Tree, context: Context): void {
  const target = stringField(content, 'target') ?? 'DISCARD_ALL';
  if (target === 'DISCARD_ALL') context.effects.push({ kind: 'discardAll' });
  else if (target === 'DISCARD_TEMP') context.effects.push({ kind: 'discardTemporary' });
}

function declareCursor(content: Tree, context: Context): void {
  const select =
    treeField(treeField(content, 'query') ?? {}, 'SelectStmt') ??
    refuse('not_supported', { subject: 'DECLARE CURSOR' });
  withNestedFacts(context, 'SELECT', () => processQuery(select, undefined, context, { level: 'top' }));
  context.deferred.push(() =>
    context.effects.push({
      kind: 'declareCursor',
      name: stringField(content, 'portalname') ?? '',
      relationOids: [...context.readRelationOids],
    }),
  );
}

function fetch(content: Tree, context: Context): void {
  const name = stringField(content, 'portalname') ?? '';
  const cursor = context.input.session.cursors.get(name);
  if (cursor === undefined)
    return refuse('undefined_object', { subject: `cursor "${name}" does not exist`, sqlstate: '34000' });
  if (cursor.generation !== context.input.generation) {
    refuse('cursor_not_allowed', {
      subject: name,
      advice: 'the policy has changed since it was declared; close it and declare it again',
    });
  }
}

function closePortal(content: Tree, context: Context): void {
  context.effects.push({ kind: 'closeCursor', name: stringField(content, 'portalname') });
}

function ifAllowed(tag: string): Walk {
  return (_content, context) => {
    if (!context.input.access.allowedCommands.has(tag)) refuse('statement_not_allowed', { subject: tag });
  };
}

function copy(content: Tree, context: Context): void {
  context.copy = processCopy(content, context);
}

const WALKS: ReadonlyMap<string, Walk> = new Map<string, Walk>([
  ['VariableSetStmt', variableSet],
  ['VariableShowStmt', variableShow],
  ['TransactionStmt', transaction],
  ['DiscardStmt', discard],
  ['DeclareCursorStmt', declareCursor],
  ['FetchStmt', fetch],
  ['ClosePortalStmt', closePortal],
  ['PrepareStmt', prepareStatement],
  [
    'ExecuteStmt',
    (content, context) => {
      walkList(content, 'params', newScope(undefined), context);
      executePrepared(content, context);
    },
  ],
  [
    'DeallocateStmt',
    (content, context) => void context.effects.push({ kind: 'deallocate', name: stringField(content, 'name') }),
  ],
  ['ExplainStmt', explain],
  ['CopyStmt', copy],
  ['ListenStmt', ifAllowed('LISTEN')],
  ['NotifyStmt', ifAllowed('NOTIFY')],
  ['UnlistenStmt', () => undefined],
  [
    'ConstraintsSetStmt',
    (content) => {
      if (listField(content, 'constraints').length > 0)
        refuse('not_supported', { subject: 'SET CONSTRAINTS with names', advice: 'use SET CONSTRAINTS ALL' });
    },
  ],
  ['CreateStmt', createTable],
  ['CreateTableAsStmt', createTableAs],
  ['DropStmt', dropTable],
  ['TruncateStmt', truncateTable],
  ['IndexStmt', createIndex],
  ['VacuumStmt', analyzeTable],
]);

/** Walks a utility statement; refuses what is not listed. */
export function processUtility(tag: string, content: Tree, context: Context): void {
  const walk = WALKS.get(tag);
  if (walk === undefined) refuse('statement_not_allowed', { subject: commandTag(tag, content) });
  walk(content, context);
}
