/** Walking expressions from anywhere in the statement: the entry points that every clause uses, and what the walk tells. */
import type { Oid } from './catalog.ts';
import type { Tree } from './parser.ts';
import type { Guard, Scope } from './scope.ts';
import type { Context } from './statement-context.ts';
import { asNode, listField, numberField, stringField, treeField } from './tree-access.ts';

/** What is known of an expression after the walk. */
export interface ExpressionInfo {
  /** Filtered relations it reads, at this level and outside of it. */
  readonly guards: readonly Guard[];
  /** Evaluating it raises nothing and shows nothing, whatever the row. */
  readonly leakproof: boolean;
  readonly typeOid: Oid | undefined;
  /** Holds an aggregate or window function: it runs after all filters. */
  readonly aggregate: boolean;
  /** Reads no column and no parameter and calls only clock functions: fails for every row or for none, already while planning. */
  readonly constant: boolean;
  /** A sub-query that the planner turns into a join where it is a condition of its own: it then runs behind every filter of the level. */
  readonly joined?: boolean;
  /** The literal NULL. */
  readonly isNull?: boolean;
}

/** OID of the pseudo-type of an untyped literal. */
export const LITERAL_UNKNOWN_TYPE = 705;

export const NOTHING_READ: ExpressionInfo = {
  guards: [],
  leakproof: true,
  typeOid: undefined,
  aggregate: false,
  constant: true,
};

/** Everything read by either; leak-proof only if both are; no type. */
export function combine(infos: readonly ExpressionInfo[]): ExpressionInfo {
  let guards: readonly Guard[] = [];
  let leakproof = true;
  let aggregate = false;
  let constant = true;
  for (const info of infos) {
    if (info.guards.length > 0) guards = guards.length === 0 ? info.guards : [...guards, ...info.guards];
    leakproof &&= info.leakproof;
    aggregate ||= info.aggregate;
    constant &&= info.constant;
  }
  return { guards, leakproof, typeOid: undefined, aggregate, constant };
}

/** Walks every element of a list field. */
export function walkList(node: Tree, key: string, scope: Scope, context: Context): readonly ExpressionInfo[] {
  return listField(node, key).map((element) => walkExpression(element, scope, context));
}

/** Walks an optional single child. */
export function walkField(node: Tree, key: string, scope: Scope, context: Context): ExpressionInfo {
  const child = treeField(node, key);
  return child === undefined ? NOTHING_READ : walkExpression(child, scope, context);
}

/** The expressions of a window definition, wrapped or embedded. */
export function walkWindow(window: Tree, scope: Scope, context: Context): readonly ExpressionInfo[] {
  const content = asNode(window, 'WindowDef') ?? window;
  return [
    ...walkList(content, 'partitionClause', scope, context),
    ...walkList(content, 'orderClause', scope, context),
    walkField(content, 'startOffset', scope, context),
    walkField(content, 'endOffset', scope, context),
  ];
}

/** JsonValueExpr, wrapped or embedded. */
export function jsonValue(node: Tree, scope: Scope, context: Context): ExpressionInfo {
  const value = asNode(node, 'JsonValueExpr') ?? node;
  const infos = ['raw_expr', 'formatted_expr'].map((key) => walkField(value, key, scope, context));
  return { ...combine(infos), leakproof: false, constant: false };
}

/** Marks a literal whose value decided something: a text with another value there needs its own answer. */
export function markSensitive(context: Context, node: Tree | undefined): void {
  const location = numberField(asNode(node, 'A_Const') ?? {}, 'location');
  if (location === undefined) return;
  const { text } = context.source;
  let start = context.source.at(location);
  // A negative number is one node that begins at its sign, and the literal that a shape cuts out begins behind it.
  while (/[-\s]/.test(text[start] ?? '')) start++;
  context.sensitiveLiterals.add(start);
}

/** Marks every literal of a token range. */
export function markLiteralsIn(range: { readonly first: number; readonly last: number }, context: Context): void {
  for (let i = range.first; i <= range.last; i++) {
    const token = context.source.tokens[i];
    if (token?.kind === 'string' || token?.kind === 'number') context.sensitiveLiterals.add(token.start);
  }
}

/** Text of a string literal node. */
export function stringLiteral(node: Tree | undefined): string | undefined {
  const sval = treeField(asNode(node, 'A_Const') ?? {}, 'sval');
  return sval === undefined ? undefined : (stringField(sval, 'sval') ?? '');
}

/** Walks one wrapped expression node. Throws RefusalError. */
export function walkExpression(node: Tree, scope: Scope, context: Context): ExpressionInfo {
  return context.walkers.expression(node, scope, context);
}
