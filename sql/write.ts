/** INSERT, UPDATE, DELETE, MERGE and COPY by their nodes. */
import { withNestedFacts } from './query-info.ts';
import { processCopy as walkCopy } from './copy.ts';
import { processInsert } from './insert.ts';
import { processMerge } from './merge.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { WriteInfo } from './returning.ts';
import type { Scope } from './scope.ts';
import type { Context } from './statement-context.ts';
import { processDelete, processUpdate } from './update.ts';

type Walk = (content: Tree, parent: Scope | undefined, context: Context, level: 'top' | 'nested') => WriteInfo;

const COMMANDS: ReadonlyMap<string, { readonly command: string; readonly walk: Walk }> = new Map([
  ['InsertStmt', { command: 'INSERT', walk: processInsert }],
  ['UpdateStmt', { command: 'UPDATE', walk: processUpdate }],
  ['DeleteStmt', { command: 'DELETE', walk: processDelete }],
  ['MergeStmt', { command: 'MERGE', walk: processMerge }],
]);

/** Command tag of a writing statement's node; `undefined` for any other node. */
export function writeCommand(tag: string): string | undefined {
  return COMMANDS.get(tag)?.command;
}

/** Walks a write (its tag and bare fields); `parent` is the level around a data-modifying CTE. Throws RefusalError. */
export function processWrite(
  tag: string,
  content: Tree,
  parent: Scope | undefined,
  context: Context,
  level: 'top' | 'nested',
): WriteInfo {
  const known = COMMANDS.get(tag) ?? refuse('not_supported', { subject: tag });
  return known.walk(content, parent, context, level);
}

/** Walks a COPY statement; answers which way the data goes. Throws RefusalError. */
export function processCopy(content: Tree, context: Context): 'in' | 'out' {
  return walkCopy(content, context, (tag, inner) =>
    withNestedFacts(context, writeCommand(tag) ?? tag, () => processWrite(tag, inner, undefined, context, 'nested')),
  );
}
