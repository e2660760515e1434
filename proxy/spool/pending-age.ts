/** When the lines that wait for confirmation were written, to the second: a mark for each second, not for each line. */
interface Mark {
  readonly firstSeq: number;
  readonly atMs: number;
}

const markEveryMs = 1000;
/** With more marks than this they are made once a minute: days of waiting fit into little memory. */
const manyMarks = 3600;
const markSeldomMs = 60_000;

export class PendingAge {
  #marks: Mark[] = [];

  get oldestMs(): number | undefined {
    return this.#marks[0]?.atMs;
  }

  /** A line, and those after it, was written at that time. */
  written(firstSeq: number, atMs: number): void {
    const last = this.#marks.at(-1);
    const spacingMs = this.#marks.length < manyMarks ? markEveryMs : markSeldomMs;
    if (last === undefined || atMs - last.atMs >= spacingMs) this.#marks.push({ firstSeq, atMs });
  }

  /** Lines up to `seq` do not wait any more; the last line written is `lastSeq`. */
  confirmed(seq: number, lastSeq: number): void {
    if (seq >= lastSeq) {
      this.#marks = [];
      return;
    }
    const next = this.#marks.findIndex(({ firstSeq }) => firstSeq > seq + 1);
    this.#marks.splice(0, next < 0 ? this.#marks.length - 1 : next - 1);
  }
}
