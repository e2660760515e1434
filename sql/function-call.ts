/** FuncCall: judged by every candidate of its name and number of arguments; those that take objects see only what the identity may. */
import {
  combine,
  markLiteralsIn,
  markSensitive,
  type ExpressionInfo,
  walkField,
  walkList,
  walkWindow,
  stringLiteral,
} from './walk.ts';
import { calledFunction, type CalledFunction, type CallName } from './called-function.ts';
import type { CatalogFunction, Oid } from './catalog.ts';
import { readField } from './column-reference.ts';
import { argumentRanges, textRange, type TokenRange } from './extents.ts';
import { NOT_AVAILABLE, type FunctionJudgement } from './functions.ts';
import { displayName } from './identifiers.ts';
import {
  visibleRegLiteral,
  wrapArgument as wrapObjectArgument,
  wrapColumnDescription,
  wrapColumnPrivilege,
  wrapRegName,
  wrapSerialSequence,
} from './oid-functions.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Scope } from './scope.ts';
import { settingCall, wrapSettingName } from './setting-call.ts';
import { sequenceCall } from './sequence-call.ts';
import type { Context } from './statement-context.ts';
import { asNode, booleanField, listField, locationOf, nameList, treeField } from './tree-access.ts';
import { isRegOid, isVisibleType, judgeCastTo, refuseUntypedBesideReg } from './type-cast.ts';
import { argumentHole, wrapArguments, wrapNode } from './wrap-node.ts';

/** unnest of one array of known type gives its elements. */
function elementType(name: string, argument: ExpressionInfo | undefined, context: Context): Oid | undefined {
  if (name !== 'unnest' || argument?.typeOid === undefined) return undefined;
  const element = context.input.catalog.typeByOid.get(argument.typeOid)?.elementOid ?? 0;
  return element === 0 ? undefined : element;
}

const CLOCK: ReadonlySet<string> = new Set(['now', 'transaction_timestamp', 'statement_timestamp', 'clock_timestamp']);

/** The parenthesised argument list behind a function's name. */
export function argumentsOf(content: Tree, context: Context): readonly TokenRange[] {
  const { source } = context;
  let open = source.tokenAt(locationOf(content));
  while (open < source.tokens.length && source.tokens[open]?.word !== '(') open += 1;
  return argumentRanges(source, { first: open, last: source.partner[open] ?? open });
}

function refuseFunction(label: string, arity: number, reason: string, content: Tree): never {
  return refuse('function_not_allowed', {
    subject: `${label}(${arity === 0 ? '' : arity === 1 ? '1 argument' : `${arity} arguments`})`,
    advice: reason,
    location: locationOf(content),
  });
}

/** How often a volatile function runs can be seen: it must not run for hidden rows, whether or not it reads them. */
function readByCall(called: ExpressionInfo, isVolatile: boolean, scope: Scope): ExpressionInfo {
  if (!isVolatile) return called;
  scope.traits.volatile = true;
  return { ...called, guards: [...called.guards, ...scope.items.flatMap((item) => item.allGuards)] };
}

/** Arguments, ORDER BY and FILTER; inside of an aggregate, columns need not stand in GROUP BY. */
function walkArguments(content: Tree, scope: Scope, context: Context, isAggregate: boolean): ExpressionInfo[] {
  if (isAggregate) scope.aggregateDepth += 1;
  const infos = [
    ...walkList(content, 'args', scope, context),
    ...walkList(content, 'agg_order', scope, context),
    walkField(content, 'agg_filter', scope, context),
  ];
  if (isAggregate) scope.aggregateDepth -= 1;
  return infos;
}

const TRUSTED: FunctionJudgement = { kind: 'allowed' };

/** Refuses a call that is not allowed; what does not exist and what is not granted give the same answer. */
function judgeCall(
  called: CalledFunction,
  label: string,
  arity: number,
  content: Tree,
  context: Context,
): FunctionJudgement {
  if (context.trusted) return TRUSTED;
  const verdict = called.judgement;
  if (verdict.kind === 'refused') refuseFunction(label, arity, verdict.reason, content);
  const target = verdict.kind === 'cast' ? context.input.catalog.typeByOid.get(verdict.typeOid) : undefined;
  if (target !== undefined && !isVisibleType(target, context)) refuseFunction(label, arity, NOT_AVAILABLE, content);
  return verdict;
}

function callName(content: Tree): CallName {
  const names = nameList(content, 'funcname');
  const within = booleanField(content, 'agg_within_group') ? listField(content, 'agg_order').length : 0;
  return {
    schema: names.length > 1 ? names.at(-2) : undefined,
    name: names.at(-1) ?? '',
    arity: listField(content, 'args').length + within,
    hasVariadic: booleanField(content, 'func_variadic'),
  };
}

function labelOf({ schema, name }: CallName): string {
  const isQualified = schema !== undefined && schema !== 'pg_catalog';
  return isQualified ? `${displayName(schema)}.${displayName(name)}` : displayName(name);
}

function isAggregateCall(content: Tree, called: CalledFunction): boolean {
  return called.hasAggregate || booleanField(content, 'agg_star') || content['agg_filter'] !== undefined;
}

/** Walks one call with its FILTER, ORDER BY and OVER. */
export function functionCall(content: Tree, scope: Scope, context: Context, node: Tree): ExpressionInfo {
  const call = callName(content);
  const { name, arity } = call;
  const args = listField(content, 'args');
  const label = labelOf(call);
  context.facts.functions.add(label);
  const called = calledFunction(call, context.input.catalog, context.input.access);
  const functions = called.candidates;
  const isAggregate = isAggregateCall(content, called);
  const over = treeField(content, 'over');
  const verdict = judgeCall(called, label, arity, content, context);
  const reference = verdict.kind === 'attribute' ? asNode(args[0], 'ColumnRef') : undefined;
  const field = reference === undefined ? undefined : readField(reference, name, scope, context);
  if (field !== undefined) return field;
  if (verdict.kind === 'attribute') refuseFunction(label, arity, NOT_AVAILABLE, content);
  const isWindow = over !== undefined;
  const infos = walkArguments(content, scope, context, isAggregate && !isWindow);
  if (over !== undefined) infos.push(...walkWindow(over, scope, context));
  const reg = regArgument(functions, infos.slice(0, args.length), context);
  const special = applyVerdict(verdict, content, args, node, context);
  if (called.returnsSet) context.setReturning.add(node);
  // A user's function may name its one result, which the catalog snapshot does not tell.
  if (called.isBuiltIn && called.isScalar) context.scalarCalls.add(node);
  const read = readByCall(combine(infos), called.isVolatile && !CLOCK.has(name), scope);
  const leakproof = read.leakproof && called.isLeakproof && !special;
  const constant = CLOCK.has(name) && called.isBuiltIn;
  return {
    ...read,
    leakproof: leakproof || constant,
    typeOid:
      verdict.kind === 'cast' ? verdict.typeOid : (reg ?? elementType(name, infos[0], context) ?? called.resultTypeOid),
    aggregate: read.aggregate || isAggregate || isWindow,
    constant,
  };
}

/** A polymorphic function over a reg* value: its untyped arguments are read as that type, and its result may be one. */
function regArgument(
  functions: readonly CatalogFunction[],
  infos: readonly ExpressionInfo[],
  context: Context,
): Oid | undefined {
  const reg = infos.find((info) => isRegOid(info.typeOid, context));
  if (reg === undefined) return undefined;
  const isPseudo = (typeOid: Oid): boolean =>
    // Not "any" itself: it takes each argument as it is.
    /^any./.test(context.input.catalog.typeByOid.get(typeOid)?.name ?? '');
  if (!functions.some((one) => one.argumentTypeOids.some(isPseudo))) return undefined;
  refuseUntypedBesideReg(infos, context);
  return functions.some((one) => isPseudo(one.returnTypeOid)) ? reg.typeOid : undefined;
}

/** pg_get_serial_sequence over names that are no literals (drivers ask for all columns at once). */
function isComputedSerialSequence(content: Tree, args: readonly Tree[]): boolean {
  if (nameList(content, 'funcname').at(-1) !== 'pg_get_serial_sequence') return false;
  return args.length === 2 && args.some((argument) => stringLiteral(argument) === undefined);
}

/** What a judgement asks for beyond letting the call pass; true where the call was changed. */
function applyVerdict(
  verdict: FunctionJudgement,
  content: Tree,
  args: readonly Tree[],
  node: Tree,
  context: Context,
): boolean {
  switch (verdict.kind) {
    case 'allowed':
    case 'granted':
    case 'attribute':
      return false;
    case 'refused':
      return true;
    case 'cast':
      judgeCastTo(verdict.typeOid, locationOf(content), context);
      return false;
    case 'sequence':
      if (isComputedSerialSequence(content, args)) {
        replaceCall(content, args, node, () => wrapSerialSequence(context.visible()), context);
        return true;
      }
      sequenceCall(content, args, context);
      return false;
    case 'setting':
      if (settingCall(content, args, context) === 'literal') return false;
      wrapArgument(content, args, 0, wrapSettingName, context);
      return true;
    case 'regCast':
      return refuse('function_not_allowed', {
        subject: verdict.regType,
        advice: `write a cast instead: value::${verdict.regType}`,
        location: locationOf(content),
      });
    case 'regName':
      replaceCall(
        content,
        args,
        node,
        () => around((inner) => wrapRegName(inner, verdict.regType, context.visible())),
        context,
      );
      return true;
    case 'columnDescription':
      replaceCall(content, args, node, () => wrapColumnDescription(context.visible()), context);
      return true;
    case 'columnPrivilege':
      replaceCall(content, args, node, () => wrapColumnPrivilege(context.visible()), context);
      return true;
    case 'oid':
      for (const argument of verdict.arguments) oidArgument(content, args, argument, context);
      return true;
  }
}

type OidVerdict = Extract<FunctionJudgement, { kind: 'oid' }>['arguments'][number];

function oidArgument(content: Tree, args: readonly Tree[], argument: OidVerdict, context: Context): void {
  const node = args[argument.index];
  if (node === undefined) refuse('rewrite_uncertain');
  const text = stringLiteral(node);
  if (text !== undefined && argument.regType !== undefined) {
    markSensitive(context, node);
    const verdict = visibleRegLiteral(
      argument.regType,
      text,
      context.input.catalog,
      context.input.session.searchPath,
      context.visible(),
      new Set(context.input.session.temporaryRelations.keys()),
    );
    if (verdict.kind === 'refused')
      refuse('undefined_object', {
        subject: verdict.message,
        sqlstate: verdict.sqlstate,
        location: locationOf(asNode(node, 'A_Const') ?? {}),
      });
    return;
  }
  wrapArgument(
    content,
    args,
    argument.index,
    (inner) => wrapObjectArgument(inner, argument, context.visible()),
    context,
  );
}

function wrapArgument(
  content: Tree,
  args: readonly Tree[],
  index: number,
  print: (inner: string) => string,
  context: Context,
): void {
  const node = args[index];
  const range = argumentsOf(content, context)[index];
  if (node === undefined || range === undefined) refuse('rewrite_uncertain');
  context.deferred.push(() => wrapNode(node, textRange(context.source, range), print, context));
}

/** The whole call gives way to a look-up of ours over the same arguments. */
function replaceCall(
  content: Tree,
  args: readonly Tree[],
  node: Tree,
  print: () => { readonly before: string; readonly after: string },
  context: Context,
): void {
  const { source } = context;
  for (const range of argumentsOf(content, context)) markLiteralsIn(range, context);
  const name = source.tokenAt(locationOf(content));
  let open = name;
  while (open < source.tokens.length && source.tokens[open]?.word !== '(') open += 1;
  const close = source.partner[open] ?? refuse('rewrite_uncertain');
  const before = textRange(source, { first: name, last: open });
  const after = textRange(source, { first: close, last: close });
  context.deferred.push(() => wrapArguments(node, { before, after, args }, print(), context));
}

/** What stands before and after the argument of a wrapper that takes its place. */
function around(print: (inner: string) => string): { readonly before: string; readonly after: string } {
  const [before = '', after = ''] = print(argumentHole(0)).split(argumentHole(0));
  return { before, after };
}
