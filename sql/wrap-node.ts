/** Puts SQL of ours around an expression, in the text and in the tree alike. */
import { parseExpression, type Tree } from './parser.ts';
import { become, surroundText, type Context } from './statement-context.ts';
import { isTree, nameList, treeField } from './tree-access.ts';

const HOLE = 'postern_hole';

function isHole(value: Tree): boolean {
  const column = treeField(value, 'ColumnRef');
  return column !== undefined && nameList(column, 'fields')[0] === HOLE;
}

/** A copy of a shared fragment tree with the hole filled. */
export function fillHole(value: unknown, filling: Tree): unknown {
  if (Array.isArray(value)) return value.map((element) => fillHole(element, filling));
  if (!isTree(value)) return value;
  if (isHole(value)) return filling;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, fillHole(child, filling)]));
}

/**
 * Wraps a node: `print(inner)` gives the SQL with `inner` standing exactly once, inside parentheses of its own.
 */
export function wrapNode(
  node: Tree,
  range: { readonly start: number; readonly end: number },
  print: (inner: string) => string,
  context: Context,
): void {
  const template = print(HOLE);
  const [before, after, ...rest] = template.split(HOLE);
  if (before === undefined || after === undefined || rest.length > 0)
    throw new Error('wrapper must hold its argument once');
  surroundText(context, range, before, after);
  const filled = fillHole(parseExpression(template), { ...node });
  if (isTree(filled)) become(node, filled);
}
