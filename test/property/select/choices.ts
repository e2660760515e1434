/** Numbers from fast-check as choices: a generator that asks for them shrinks with them, since 0 is always the simplest choice. */

export class Choices {
  readonly #numbers: readonly number[];
  #at = 0;
  #aliases = 0;
  /** How many more expressions of the statement may fail while it runs. */
  failures: number;
  /** What the statement is made of, so that a test can see that everything occurs. */
  readonly features = new Set<string>();

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
    this.failures = this.chance(20) ? 1 : 0;
  }

  /** A number from 0 up to one less than `count`; 0 once the numbers have run out. */
  below(count: number): number {
    return (this.#numbers[this.#at++] ?? 0) % count;
  }

  /** `false` once the numbers have run out. */
  chance(percent: number): boolean {
    return this.below(100) >= 100 - percent;
  }

  /** The first one once the numbers have run out. */
  pick<T>(from: readonly T[]): T {
    const found = from[this.below(from.length)];
    if (found === undefined) throw new Error('nothing to pick from');
    return found;
  }

  /** Whether there are numbers left, so that it is worth while to make more of the statement. */
  get isRich(): boolean {
    return this.#at < this.#numbers.length;
  }

  alias(prefix: string): string {
    this.#aliases += 1;
    return `${prefix}${this.#aliases}`;
  }

  /** Notes the feature, and gives the text back. */
  with(feature: string, text: string): string {
    this.features.add(feature);
    return text;
  }
}
