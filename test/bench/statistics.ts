/** Numbers to report: medians of interleaved runs, percentiles, ratios. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** One measured figure against what the project asks of itself. */
export interface Figure {
  readonly group: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The goal, where there is one: `min` is a lower bound, `max` an upper one. */
  readonly goal?: { readonly min: number } | { readonly max: number };
}

export function meetsGoal(figure: Figure): boolean | undefined {
  if (figure.goal === undefined) return undefined;
  return 'min' in figure.goal ? figure.value >= figure.goal.min : figure.value <= figure.goal.max;
}

/** Figures as a Markdown table. */
export function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const goal =
      figure.goal === undefined ? '' : 'min' in figure.goal ? `≥ ${figure.goal.min}` : `≤ ${figure.goal.max}`;
    const met = meetsGoal(figure);
    const verdict = met === undefined ? '' : met ? 'met' : 'missed';
    return `| ${figure.group} | ${figure.name} | ${printed(figure.value)} ${figure.unit} | ${goal} | ${verdict} |`;
  });
  return ['| what | case | measured | goal | |', '|---|---|---|---|---|', ...rows].join('\n');
}

function printed(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
}
