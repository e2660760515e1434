/** Which numbers have been there, as ranges: little memory where most come in order. */
export class SeenNumbers {
  /** By number; never touching. */
  readonly #ranges: { first: number; last: number }[] = [];

  /** False: it was there before. */
  add(number: number): boolean {
    const ranges = this.#ranges;
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ranges[middle]?.last ?? 0) < number) low = middle + 1;
      else high = middle;
    }
    const [before, next] = [ranges[low - 1], ranges[low]];
    if (next !== undefined && next.first <= number) return false;
    if (before !== undefined && before.last === number - 1) {
      before.last = number;
      if (next?.first === number + 1) {
        before.last = next.last;
        ranges.splice(low, 1);
      }
    } else if (next?.first === number + 1) next.first = number;
    else ranges.splice(low, 0, { first: number, last: number });
    return true;
  }
}
