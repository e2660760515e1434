/** The SQL/JSON and XML nodes of expressions. */
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Scope } from './scope.ts';
import type { Context } from './statement-context.ts';
import { asNode, isTree, listField, treeField } from './tree-access.ts';
import { resolveTypeName } from './type-cast.ts';
import {
  NOTHING_READ,
  combine,
  jsonValue,
  walkExpression,
  walkField,
  walkList,
  walkWindow,
  type ExpressionInfo,
} from './walk.ts';

/** How one kind of node is walked: its fields, and the wrapped node that may become another one. */
export type Walk = (content: Tree, scope: Scope, context: Context, node: Tree) => ExpressionInfo;

/** Children that are simply walked; the node itself may raise. */
export function leaky(...keys: readonly string[]): Walk {
  return (content, scope, context) => {
    const infos = keys.flatMap((key) => {
      const value = content[key];
      if (Array.isArray(value)) return walkList(content, key, scope, context);
      return isTree(value) ? [walkExpression(value, scope, context)] : [];
    });
    return { ...combine(infos), leakproof: false, constant: false };
  };
}

export function typedOutput(key: string, walk: Walk): Walk {
  return (content, scope, context, node) => {
    const output = treeField(content, key);
    const type =
      output === undefined
        ? undefined
        : (treeField(asNode(output, 'JsonOutput') ?? output, 'typeName') ?? treeField(output, 'typeName'));
    if (type !== undefined) resolveTypeName(type, context);
    return walk(content, scope, context, node);
  };
}

function behaviors(content: Tree, scope: Scope, context: Context): readonly ExpressionInfo[] {
  return ['on_empty', 'on_error'].flatMap((key) => {
    const behavior = treeField(content, key);
    if (behavior === undefined) return [];
    return [walkField(asNode(behavior, 'JsonBehavior') ?? behavior, 'expr', scope, context)];
  });
}

/** JSON_VALUE, JSON_QUERY, JSON_EXISTS. */
export function jsonFunction(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const value = treeField(content, 'context_item');
  const infos = [
    value === undefined ? NOTHING_READ : jsonValue(value, scope, context),
    walkField(content, 'pathspec', scope, context),
    ...listField(content, 'passing').map((argument) => jsonArgument(argument, scope, context)),
    ...behaviors(content, scope, context),
  ];
  return { ...combine(infos), leakproof: false, constant: false };
}

function jsonArgument(node: Tree, scope: Scope, context: Context): ExpressionInfo {
  const argument = asNode(node, 'JsonArgument') ?? node;
  const value = treeField(argument, 'val');
  return value === undefined ? NOTHING_READ : jsonValue(value, scope, context);
}

export function jsonKeyValue(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const value = treeField(content, 'value');
  const infos = [
    walkField(content, 'key', scope, context),
    value === undefined ? NOTHING_READ : jsonValue(value, scope, context),
  ];
  return { ...combine(infos), leakproof: false, constant: false };
}

/** JSON_OBJECTAGG and JSON_ARRAYAGG: aggregates with their own FILTER, ORDER BY and OVER. */
export function jsonAggregate(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const constructor = treeField(content, 'constructor') ?? refuse('not_supported', { subject: 'JSON aggregate' });
  const inner = asNode(constructor, 'JsonAggConstructor') ?? constructor;
  const output = treeField(
    asNode(treeField(inner, 'output') ?? {}, 'JsonOutput') ?? treeField(inner, 'output') ?? {},
    'typeName',
  );
  if (output !== undefined) resolveTypeName(output, context);
  scope.aggregateDepth += 1;
  const argument = treeField(content, 'arg');
  const infos = [
    argument === undefined
      ? NOTHING_READ
      : 'JsonKeyValue' in argument || !('raw_expr' in argument || 'JsonValueExpr' in argument)
        ? jsonKeyValue(asNode(argument, 'JsonKeyValue') ?? argument, scope, context)
        : jsonValue(argument, scope, context),
    walkField(inner, 'agg_filter', scope, context),
    ...walkList(inner, 'agg_order', scope, context),
  ];
  scope.aggregateDepth -= 1;
  const over = treeField(inner, 'over');
  if (over !== undefined) infos.push(...walkWindow(over, scope, context));
  return { ...combine(infos), leakproof: false, aggregate: true, constant: false };
}

export function xmlSerialize(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const type = treeField(content, 'typeName');
  if (type !== undefined) resolveTypeName(type, context);
  return leaky('expr')(content, scope, context, content);
}

export function xmlExpression(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const named = listField(content, 'named_args').map((argument) =>
    walkField(asNode(argument, 'ResTarget') ?? argument, 'val', scope, context),
  );
  return { ...combine([...named, ...walkList(content, 'args', scope, context)]), leakproof: false, constant: false };
}
