/** The walks that call one another: handed down in the context, so that the files need not import in circles. Set up in analyze.ts. */
import type { AnalysisInput, TextAnalysis } from './analysis.ts';
import type { Tree } from './parser.ts';
import type { QueryInfo, QueryOptions } from './query-info.ts';
import type { WriteInfo } from './returning.ts';
import type { Scope } from './scope.ts';
import type { Context } from './statement-context.ts';
import type { ExpressionInfo } from './walk.ts';

export interface Walkers {
  readonly expression: (node: Tree, scope: Scope, context: Context) => ExpressionInfo;
  readonly query: (select: Tree, parent: Scope | undefined, context: Context, options: QueryOptions) => QueryInfo;
  readonly write: (
    tag: string,
    content: Tree,
    parent: Scope | undefined,
    context: Context,
    level: 'top' | 'nested',
  ) => WriteInfo;
  readonly statement: (tag: string, content: Tree, context: Context) => void;
  readonly text: (input: AnalysisInput) => TextAnalysis;
}
