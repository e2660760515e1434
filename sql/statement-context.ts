/**
 * What the walk over one statement gathers: text edits with the matching change of the tree, facts, effects, checks.
 * Everything here belongs to one call of analyzeText; nothing outlives it.
 */
import type { AddedCheck, SentinelParameter, AnalysisInput, SessionEffect } from './analysis.ts';
import type { StatementFacts } from './facts.ts';
import type { Tree } from './parser.ts';
import type { SourceText } from './source-text.ts';
import { remove } from './tree-access.ts';
import type { VisibleObjects } from './visible-objects.ts';
import type { Walkers } from './walkers.ts';

/** `before` and `after` insert at a point; `replace` takes a range. UTF-16 offsets. */
export interface Edit {
  readonly kind: 'before' | 'after' | 'replace';
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** Stands for `text` where the whole is parsed again: a fragment in parentheses that has been parsed by itself. */
  readonly proof?: string;
  readonly order: number;
}

export interface FactsBuilder {
  readonly command: string;
  hasWhere: boolean;
  readonly relations: Set<string>;
  readonly columns: Set<string>;
  readonly functions: Set<string>;
}

export interface Context {
  readonly walkers: Walkers;
  readonly input: AnalysisInput;
  readonly source: SourceText;
  readonly edits: Edit[];
  /** Run in order after the walk: what depends on flags and extras asked for anywhere in it. */
  readonly deferred: (() => void)[];
  readonly effects: SessionEffect[];
  readonly checks: AddedCheck[];
  readonly sentinels: SentinelParameter[];
  readonly masked: Set<string>;
  readonly rowFilters: Set<string>;
  readonly readRelationOids: Set<number>;
  readonly writtenRelationOids: Set<number>;
  readonly nested: FactsBuilder[];
  /** Facts of statements decided elsewhere (what EXECUTE runs). */
  readonly nestedFacts: StatementFacts[];
  /** UTF-16 range of the statement. */
  readonly statementStart: number;
  readonly statementEnd: number;
  /** Declared by PREPARE; else those of the Parse message hold. */
  parameterTypes: readonly number[] | undefined;
  /** Name that PREPARE gives. */
  prepared: string | undefined;
  /** The statement whose facts are being filled; changes while a nested one is walked. */
  facts: FactsBuilder;
  /** UTF-16 starts of literals that the answer depends on. */
  readonly sensitiveLiterals: Set<number>;
  governed: boolean;
  /** Something else than the whole relation stands in for one: EXPLAIN must not show it. */
  concealed: boolean;
  nameCounter: number;
  /** Number of occurrences of each parameter, for typing. */
  readonly parameterUses: Map<number, number>;
  /** Nodes of calls that return sets: a query with one in its output takes no conditions from outside. */
  readonly setReturning: Set<Tree>;
  /** Nodes of calls that give one column of one type. */
  readonly scalarCalls: Set<Tree>;
  /** A NATURAL JOIN stands in the statement: system columns may not be added to what it joins. */
  natural: boolean;
  /** Inside the definition of a granted view: written by the database's owner, whose functions and types it may use. */
  readonly trusted: boolean;
  readonly visible: () => VisibleObjects;
  depth: number;
  /** Some name was left to the server: nothing may be left out of a view. */
  hasUnresolved: boolean;
  copy: 'in' | 'out' | undefined;
  explain: 'text' | 'json' | 'xml' | 'yaml' | undefined;
  /** RETURNING of a filtered write: columns added at the end, stripped by the session. */
  strippedColumns: number;
  hidesRows: boolean;
}

export function newFacts(command: string): FactsBuilder {
  return { command, hasWhere: false, relations: new Set(), columns: new Set(), functions: new Set() };
}

export function finishFacts(builder: FactsBuilder): StatementFacts {
  return {
    command: builder.command,
    hasWhere: builder.hasWhere,
    relations: [...builder.relations].toSorted(),
    columns: [...builder.columns].toSorted(),
    functions: [...builder.functions].toSorted(),
  };
}

/** Records a replacement of a UTF-16 range. */
export function replaceText(
  context: Context,
  range: { readonly start: number; readonly end: number },
  text: string,
  proof?: string,
): void {
  const edit: Edit = { kind: 'replace', start: range.start, end: range.end, text, order: context.edits.length };
  context.edits.push(proof === undefined ? edit : { ...edit, proof });
}

/** Records texts put around a UTF-16 range. */
export function surroundText(
  context: Context,
  range: { readonly start: number; readonly end: number },
  before: string,
  after: string,
): void {
  const order = context.edits.length;
  if (before !== '') context.edits.push({ kind: 'before', start: range.start, end: range.start, text: before, order });
  if (after !== '') context.edits.push({ kind: 'after', start: range.end, end: range.end, text: after, order });
}

/** A name that occurs nowhere in the statement. */
export function freshName(context: Context, stem: string): string {
  for (;;) {
    context.nameCounter += 1;
    const name = `postern_${stem}_${context.nameCounter}`;
    if (!context.source.text.includes(name)) return name;
  }
}

/** Turns a wrapped node into another one in place, so that its parent holds the new node. */
export function become(node: Tree, replacement: Tree): void {
  for (const key of Object.keys(node)) remove(node, key);
  Object.assign(node, replacement);
}
