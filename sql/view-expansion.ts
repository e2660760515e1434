/** A granted view that reads governed tables is written out and its own references rewritten: the identity's view holds below it too. */
import { processQuery } from './query-info.ts';
import type { CatalogRelation } from './catalog.ts';
import { parseSql } from './parser.ts';
import { refuse } from './refusal.ts';
import { displayQualified } from './identifiers.ts';
import { SourceText } from './source-text.ts';
import { piecesOf, printPieces, printProof, verifyText } from './splice.ts';
import { newFacts, type Context } from './statement-context.ts';
import { treeField } from './tree-access.ts';

const MAX_VIEW_DEPTH = 16;

/** Whether a view reads, directly or through other views, a relation that some policy of the connection names. */
export function viewReadsGoverned(view: CatalogRelation, context: Context, depth = 0): boolean {
  const { catalog, access } = context.input;
  if (depth > MAX_VIEW_DEPTH) return true;
  return view.readsRelationOids.some((oid) => {
    if (access.governedOids.has(oid)) return true;
    const inner = catalog.relationByOid.get(oid);
    return inner?.kind === 'v' && viewReadsGoverned(inner, context, depth + 1);
  });
}

export interface ExpandedView {
  /** Parenthesised query. */
  readonly sql: string;
  /** Conditions from outside must not be pushed into it: it reads filtered rows, or is a security barrier. */
  readonly guarded: boolean;
}

/** Rewrites a view's definition under the identity's own views. Throws RefusalError. */
export function expandView(view: CatalogRelation, outer: Context): ExpandedView {
  const subject = displayQualified(view.schema, view.name);
  if (outer.depth > 300) refuse('too_complex');
  const definition = view.definition?.trim().replace(/;$/, '');
  if (definition === undefined)
    return refuse('not_supported', { subject: `the view ${subject}`, advice: 'its definition cannot be read' });
  const [statement, ...rest] = parseSql(definition);
  const select = statement === undefined ? undefined : treeField(statement.stmt, 'SelectStmt');
  if (select === undefined || rest.length > 0) return refuse('not_supported', { subject: `the view ${subject}` });
  const rowFilters = new Set<string>();
  const inner: Context = {
    ...outer,
    input: {
      ...outer.input,
      text: definition,
      session: { ...outer.input.session, searchPath: [], temporaryRelations: new Map() },
      parameterTypeOids: [],
    },
    source: new SourceText(definition),
    edits: [],
    deferred: [],
    effects: [],
    sensitiveLiterals: new Set(),
    rowFilters,
    facts: newFacts('SELECT'),
    setReturning: new Set(),
    scalarCalls: new Set(),
    parameterUses: new Map(),
    trusted: true,
  };
  processQuery(select, undefined, inner, { level: 'top' });
  for (const run of inner.deferred) run();
  for (const key of ['relations', 'columns'] as const)
    for (const value of inner.facts[key]) outer.facts[key].add(value);
  for (const relation of rowFilters) outer.rowFilters.add(relation);
  outer.nameCounter = inner.nameCounter;
  outer.concealed ||= inner.concealed;
  verifyText(printProof(inner.edits, definition, 0, definition.length), [statement?.stmt ?? {}]);
  const sql = `(${printPieces(piecesOf(inner.edits, 0, definition.length), definition)})`;
  return { sql, guarded: rowFilters.size > 0 || view.securityBarrier };
}
