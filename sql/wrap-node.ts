/** Puts SQL of ours around an expression, in the text and in the tree alike. */
import { parseExpression, type Tree } from './parser.ts';
import { become, replaceText, surroundText, type Context } from './statement-context.ts';
import { isTree, nameList, treeField } from './tree-access.ts';

const HOLE = 'postern_hole';

/** Names that stand for the arguments of a call in a template. */
export function argumentHole(index: number): string {
  return `${HOLE}_${index}`;
}

function holeName(value: Tree): string | undefined {
  const column = treeField(value, 'ColumnRef');
  return column === undefined ? undefined : nameList(column, 'fields')[0];
}

function fillHoles(value: unknown, fillings: ReadonlyMap<string, Tree>): unknown {
  if (Array.isArray(value)) return value.map((element) => fillHoles(element, fillings));
  if (!isTree(value)) return value;
  const filling = fillings.get(holeName(value) ?? '');
  if (filling !== undefined) return filling;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, fillHoles(child, fillings)]));
}

/** A copy of a shared fragment tree with the hole filled. */
export function fillHole(value: unknown, filling: Tree): unknown {
  return fillHoles(value, new Map([[HOLE, filling]]));
}

/**
 * Puts other SQL in the place of a call, around its argument list, which stays as it stands: `before` takes the place of the name and
 * the opening parenthesis, `after` that of the closing one.
 */
export function wrapArguments(
  node: Tree,
  call: { readonly before: Span; readonly after: Span; readonly args: readonly Tree[] },
  sql: { readonly before: string; readonly after: string },
  context: Context,
): void {
  replaceText(context, call.before, sql.before);
  replaceText(context, call.after, sql.after);
  const template = `${sql.before}${call.args.map((_, index) => argumentHole(index)).join(', ')}${sql.after}`;
  const fillings = new Map(call.args.map((argument, index) => [argumentHole(index), argument]));
  const filled = fillHoles(parseExpression(template), fillings);
  if (isTree(filled)) become(node, filled);
}

function splitTemplate(template: string): readonly [before: string, after: string] {
  const [before, after, ...rest] = template.split(HOLE);
  if (before === undefined || after === undefined || rest.length > 0)
    throw new Error('wrapper must hold its argument once');
  return [before, after];
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** Puts other SQL in the place of a node, around one part of it that is kept (`kept` is that part's wrapped node). */
export function replaceAround(
  node: Tree,
  place: { readonly outer: Span; readonly inner: Span; readonly kept: Tree },
  print: (inner: string) => string,
  context: Context,
): void {
  const template = print(HOLE);
  const [before, after] = splitTemplate(template);
  const { outer, inner } = place;
  if (inner.start > outer.start) replaceText(context, { start: outer.start, end: inner.start }, before);
  else surroundText(context, inner, before, '');
  replaceText(context, { start: inner.end, end: outer.end }, after);
  const filled = fillHole(parseExpression(template), place.kept);
  if (isTree(filled)) become(node, filled);
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
  const [before, after] = splitTemplate(template);
  surroundText(context, range, before, after);
  const filled = fillHole(parseExpression(template), { ...node });
  if (isTree(filled)) become(node, filled);
}
