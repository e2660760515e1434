/** One statement by its node: queries, writes, utility statements. */
import { processQuery } from './query-info.ts';
import type { Tree } from './parser.ts';
import { selectInto } from './temporary-table.ts';
import type { Context } from './statement-context.ts';
import { processUtility } from './utility.ts';
import { writeCommand } from './command-tags.ts';
import { processWrite } from './write.ts';

/** Walks a statement (its tag and bare fields). Throws RefusalError. */
export function processStatement(tag: string, content: Tree, context: Context): void {
  if (tag === 'SelectStmt') {
    context.facts.hasWhere = content['whereClause'] !== undefined;
    if (content['intoClause'] !== undefined) selectInto(content, context);
    else processQuery(content, undefined, context, { level: 'top' });
  } else if (writeCommand(tag) !== undefined) processWrite(tag, content, undefined, context, 'top');
  else processUtility(tag, content, context);
}
