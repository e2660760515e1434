/** A cast to a domain runs its CHECK expressions: they may call nothing that the agent could not call. */
import { walkExpression } from './walk.ts';
import type { CatalogType } from './catalog.ts';
import { displayQualified } from './identifiers.ts';
import { parseExpression, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { newScope } from './scope.ts';
import { SourceText } from './source-text.ts';
import { newFacts, type Context } from './statement-context.ts';

function cloneTree(tree: Tree): Tree {
  return structuredClone(tree);
}

/** Refuses a domain unless each of its checks is made of allowed functions and operators. */
export function checkDomain(type: CatalogType, context: Context): void {
  const subject = displayQualified(type.schema, type.name);
  for (const check of type.domainChecks) {
    const expression = /^CHECK \((.*)\)(?: NOT VALID)?$/s.exec(check)?.[1];
    if (expression === undefined) refuse('type_not_allowed', { subject, advice: 'its check cannot be read' });
    const scope = newScope(undefined);
    scope.items.push({
      alias: 'value',
      columns: [{ name: 'value', typeOid: type.domainBaseOid, guards: [], leakproof: true }],
      complete: true,
      replaced: false,
      extras: () => [],
      allGuards: [],
    });
    const inner: Context = {
      ...context,
      source: new SourceText(expression),
      edits: [],
      deferred: [],
      effects: [],
      sensitiveLiterals: new Set(),
      facts: newFacts('CHECK'),
      setReturning: new Set(),
      scalarCalls: new Set(),
    };
    walkExpression(cloneTree(parseExpression(expression)), scope, inner);
    if (inner.deferred.length > 0 || inner.effects.length > 0)
      refuse('type_not_allowed', { subject, advice: 'its check calls functions that are not allowed here' });
  }
}
