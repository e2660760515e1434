/** INSERT, UPDATE, DELETE, MERGE and COPY. */
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Scope, ScopeColumn } from './scope.ts';
import type { Context } from './statement-context.ts';

export interface WriteInfo {
  readonly columns: readonly ScopeColumn[];
  readonly complete: boolean;
  readonly extras: () => readonly string[];
}

const COMMANDS: ReadonlyMap<string, string> = new Map([
  ['InsertStmt', 'INSERT'],
  ['UpdateStmt', 'UPDATE'],
  ['DeleteStmt', 'DELETE'],
  ['MergeStmt', 'MERGE'],
]);

export function writeCommand(tag: string): string | undefined {
  return COMMANDS.get(tag);
}

export function processWrite(
  tag: string,
  _content: Tree,
  _parent: Scope | undefined,
  _context: Context,
  _level: 'top' | 'nested',
): WriteInfo {
  return refuse('not_supported', { subject: tag });
}

export function processCopy(_content: Tree, _context: Context): 'in' | 'out' {
  return refuse('not_supported', { subject: 'COPY' });
}
