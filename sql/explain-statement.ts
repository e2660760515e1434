/** EXPLAIN of what the database would run, without what would show the rewriting: options are written anew, the session reduces the output. */
import { withNestedFacts } from './query-info.ts';
import { commandTag } from './command-tags.ts';
import { parseSql, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { replaceText, type Context } from './statement-context.ts';
import { asNode, isTree, listField, locationOf, numberField, stringField, treeField, unwrap } from './tree-access.ts';

const EXPLAINABLE: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'DeclareCursorStmt',
  'CreateTableAsStmt',
  'ExecuteStmt',
]);
const OPTIONS: ReadonlySet<string> = new Set([
  'analyze',
  'verbose',
  'costs',
  'settings',
  'generic_plan',
  'buffers',
  'wal',
  'timing',
  'summary',
  'memory',
  'serialize',
  'format',
]);

interface Options {
  readonly analyze: boolean;
  /** The statement may then hold parameters that nobody gives. */
  readonly genericPlan: boolean;
  readonly format: 'text' | 'json' | 'xml' | 'yaml';
}

function readOptions(content: Tree): Options {
  let analyze = false;
  let genericPlan = false;
  let format: Options['format'] = 'text';
  for (const element of listField(content, 'options')) {
    const option = asNode(element, 'DefElem') ?? refuse('not_supported', { subject: 'an EXPLAIN option' });
    const name = stringField(option, 'defname') ?? '';
    if (!OPTIONS.has(name))
      refuse('not_supported', { subject: `EXPLAIN option ${name}`, location: locationOf(option) });
    if (name === 'settings')
      refuse('setting_not_allowed', { subject: 'EXPLAIN (SETTINGS)', location: locationOf(option) });
    const value = optionText(treeField(option, 'arg'));
    if (name === 'analyze') analyze = isOn(value);
    if (name === 'generic_plan') genericPlan = isOn(value);
    if (name === 'format') {
      if (value !== 'text' && value !== 'json' && value !== 'xml' && value !== 'yaml')
        refuse('not_supported', { subject: `EXPLAIN format ${value}` });
      format = value;
    }
  }
  return { analyze, genericPlan, format };
}

function isOn(value: string): boolean {
  return !['off', 'false', '0', 'no'].includes(value);
}

function optionText(node: Tree | undefined): string {
  const text = asNode(node, 'String');
  if (text !== undefined) return (stringField(text, 'sval') ?? '').toLowerCase();
  const integer = asNode(node, 'Integer');
  return integer === undefined ? 'on' : String(numberField(integer, 'ival') ?? 0);
}

/** First token of the explained statement. */
function innerStart(content: Tree, context: Context): { readonly keyword: number; readonly inner: number } {
  const { source } = context;
  const keyword = source.tokenFrom(context.statementStart);
  let inner = keyword + 1;
  if (source.tokens[inner]?.word === '(' && listField(content, 'options').length > 0)
    inner = (source.partner[inner] ?? inner) + 1;
  else while (['ANALYZE', 'ANALYSE', 'VERBOSE'].includes(source.tokens[inner]?.word ?? '')) inner += 1;
  return { keyword, inner };
}

export function explain(content: Tree, context: Context): void {
  const options = readOptions(content);
  const [tag, inner] = unwrap(treeField(content, 'query') ?? {});
  if (!EXPLAINABLE.has(tag)) refuse('not_supported', { subject: `EXPLAIN of ${commandTag(tag, inner)}` });
  const start = innerStart(content, context);
  const stripped = context.strippedColumns;
  withNestedFacts(context, commandTag(tag, inner), () => context.walkers.statement(tag, inner, context));
  // The plan has no row of the statement's own: nothing to strip.
  context.strippedColumns = stripped;
  context.hidesRows = false;
  context.deferred.push(() => {
    if (!context.concealed) return;
    const list = [
      ...(options.analyze ? ['ANALYZE', 'TIMING OFF', 'SUMMARY OFF', 'BUFFERS OFF'] : []),
      ...(options.genericPlan ? ['GENERIC_PLAN'] : []),
      'COSTS OFF',
      `FORMAT ${options.format.toUpperCase()}`,
    ];
    const text = `EXPLAIN (${list.join(', ')})`;
    const from = context.source.tokens[start.keyword]?.start ?? 0;
    const to = context.source.tokens[start.inner - 1]?.end ?? 0;
    replaceText(context, { start: from, end: to }, text);
    const parsed = parseSql(`${text} SELECT 1`)[0]?.stmt['ExplainStmt'];
    if (isTree(parsed)) content['options'] = parsed['options'];
    context.explain = options.format;
  });
}
