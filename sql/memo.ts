/** Answers of pure functions by a key, so that they are worked out once. Keys may come from an agent: past a limit all are forgotten. */
export class Memo<Value> {
  readonly #limit: number;
  readonly #known = new Map<string, Value>();

  constructor(limit = 4_000) {
    this.#limit = limit;
  }

  /** The answer for this key; `make` works it out where it is not known. What it throws is not kept. */
  get(key: string, make: () => Value): Value {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const value = make();
    if (this.#known.size >= this.#limit) this.#known.clear();
    this.#known.set(key, value);
    return value;
  }
}
