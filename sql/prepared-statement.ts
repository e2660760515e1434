/** SQL-level PREPARE and EXECUTE: decided at PREPARE, and again at every EXECUTE under the policy then in force. */
import { withNestedFacts } from './query-info.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { printPieces } from './splice.ts';
import type { Context } from './statement-context.ts';
import { listField, stringField, treeField, unwrap } from './tree-access.ts';
import { commandTag } from './command-tags.ts';
import { blankComments } from './source-text.ts';
import { resolveTypeName } from './type-cast.ts';
import { refuseSentinelArguments } from './write-columns.ts';

const PREPARABLE: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

export function prepareStatement(content: Tree, context: Context): void {
  const types = listField(content, 'argtypes').map((type) => resolveTypeName(type, context) ?? 0);
  const [tag, inner] = unwrap(treeField(content, 'query') ?? {});
  if (!PREPARABLE.has(tag)) refuse('not_supported', { subject: `PREPARE of ${commandTag(tag, inner)}` });
  context.parameterTypes = types;
  withNestedFacts(context, commandTag(tag, inner), () => context.walkers.statement(tag, inner, context));
  context.prepared = stringField(content, 'name') ?? '';
}

/** What was prepared must still be allowed, and read the same. */
export function executePrepared(content: Tree, context: Context): void {
  const name = stringField(content, 'name') ?? '';
  const prepared = context.input.session.preparedStatements.get(name);
  if (prepared === undefined)
    return refuse('undefined_object', { subject: `prepared statement "${name}" does not exist`, sqlstate: '26000' });
  const again = context.walkers.text({ ...context.input, text: prepared.text, parameterTypeOids: [] });
  const [statement] = again.statements;
  if (statement === undefined || statement.kind === 'refused') {
    if (statement !== undefined)
      refuse(statement.slug, {
        ...(statement.subject === undefined ? {} : { subject: statement.subject }),
        ...(statement.action === undefined ? {} : { action: statement.action }),
        ...(statement.advice === undefined ? {} : { advice: statement.advice }),
      });
    return refuse('rewrite_uncertain');
  }
  if (printPieces(again.pieces ?? [], blankComments(prepared.text)) !== prepared.rewritten) {
    refuse('statement_not_allowed', {
      subject: `EXECUTE ${name}`,
      advice: 'the policy has changed since it was prepared; DEALLOCATE it and PREPARE it again',
    });
  }
  refuseSentinelArguments(statement.sentinels ?? [], listField(content, 'params'), context);
  for (const relation of statement.facts.relations) context.facts.relations.add(relation);
  for (const column of statement.facts.columns) context.facts.columns.add(column);
  for (const called of statement.facts.functions) context.facts.functions.add(called);
  for (const masked of statement.facts.masked) context.masked.add(masked);
  for (const filtered of statement.facts.rowFilters) context.rowFilters.add(filtered);
  for (const nested of statement.facts.nested) context.nestedFacts.push(nested);
  context.governed ||= statement.governed;
  // The plan of what was prepared would show what stands in it.
  context.concealed ||= statement.governed;
  const { shape, checks } = statement.executed ?? statement;
  context.strippedColumns = shape.strippedColumns;
  context.hidesRows = shape.hidesRows;
  context.checks.push(...checks);
}
