/**
 * Why the analysis refuses a statement. The slug picks SQLSTATE and message template in policy/reasons.ts; the fields fill it.
 */
export type RefusalSlug =
  | 'syntax_error' // 42601
  | 'invalid_text' // 42601: NUL, invalid UTF-8
  | 'not_supported' // 0A000: parsed, not supported through the gate
  | 'rewrite_uncertain' // 0A000: the spliced text does not read as intended
  | 'too_complex' // 54000
  | 'statement_too_large' // 54000
  | 'relation_not_granted' // 42501, also where the relation does not exist
  | 'relation_conflicted' // 42501
  | 'action_not_granted' // 42501: INSERT/UPDATE/DELETE on a relation only readable
  | 'column_not_readable' // 42501: hidden or masked column read in a write
  | 'column_not_writable' // 42501
  | 'statement_not_allowed' // 42501: command tag
  | 'function_not_allowed' // 42501
  | 'operator_not_allowed' // 42501
  | 'type_not_allowed' // 42501
  | 'setting_not_allowed' // 42501
  | 'system_column_not_allowed' // 42501
  | 'catalog_not_allowed' // 42501
  | 'cursor_not_allowed' // 42501
  | 'undefined_object'; // 42P01, 34000, 26000: as the server would answer; `sqlstate` says which

export interface Refusal {
  readonly kind: 'refused';
  readonly slug: RefusalSlug;
  /** What it is about, for the message: `public.payroll`, `pg_read_file(text)`, `TRUNCATE TABLE`. */
  readonly subject?: string;
  /** The action in question: SELECT, INSERT, UPDATE, DELETE. */
  readonly action?: string;
  /** One clause that says what to do instead. */
  readonly advice?: string;
  readonly sqlstate?: string;
  /** Byte offset in the agent's own text (UTF-8). */
  readonly location?: number;
  /** Character (code point) offset in the agent's own text, where the parser says that instead. */
  readonly character?: number;
}

/** Thrown only inside sql/ and caught at analyzeText: carries a refusal out of a deep walk. */
export class RefusalError extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Omit<Refusal, 'kind'>) {
    super(refusal.slug);
    this.refusal = { kind: 'refused', ...refusal };
  }
}

/** Ends the walk with a refusal. */
export function refuse(slug: RefusalSlug, fields: Omit<Refusal, 'kind' | 'slug'> = {}): never {
  throw new RefusalError({ slug, ...fields });
}
