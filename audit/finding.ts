/** What a check of records and of the objects that hold them can find. */
export type FindingKind =
  | 'changed'
  | 'missing'
  | 'repeated'
  | 'reordered'
  | 'cut_off'
  | 'unreadable'
  | 'silent'
  | 'unclosed'
  | 'object_missing'
  | 'object_replaced'
  | 'object_undigested'
  | 'digest_missing'
  | 'digest_unsigned'
  | 'digest_unclosed';

export interface Finding {
  readonly kind: FindingKind;
  /** Name of the file or key of the object. */
  readonly file: string;
  /** From 1; 0 where the finding is about the whole file. */
  readonly line: number;
  readonly chain: string | undefined;
  readonly seq: number | undefined;
  readonly message: string;
}

/** Keeps the first findings and counts the rest: a ruined file must not fill the memory. */
export class FindingList {
  readonly #kept: Finding[] = [];
  readonly #limit: number;
  #count = 0;

  constructor(limit = 10_000) {
    this.#limit = limit;
  }

  add(finding: Finding): void {
    this.#count += 1;
    if (this.#kept.length < this.#limit) this.#kept.push(finding);
  }

  /** Findings of another list, of which `count` were made. */
  addAll(findings: readonly Finding[], count = findings.length): void {
    for (const finding of findings) this.add(finding);
    this.#count += count - findings.length;
  }

  get kept(): readonly Finding[] {
    return this.#kept;
  }

  /** All of them, kept or not. */
  get count(): number {
    return this.#count;
  }
}
