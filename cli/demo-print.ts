/** How the demo shows one step: asked and sent beside each other, the decision, what came back. */
import type { DemoStep } from './demo-script.ts';
import type { DecisionRecord } from './demo-traces.ts';
import { sideBySide, table, wrap } from './terminal-layout.ts';

const COLOURS = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 36 } as const;

/** Colours where a person reads, nothing where a file does. */
export function paint(colour: keyof typeof COLOURS, text: string): string {
  const isPlain = process.stdout.isTTY !== true || (process.env['NO_COLOR'] ?? '') !== '';
  return isPlain ? text : `\u001b[${COLOURS[colour]}m${text}\u001b[0m`;
}

export interface PlayedStep {
  readonly number: number;
  readonly step: DemoStep;
  readonly decisions: readonly DecisionRecord[];
  readonly sent: readonly string[];
  readonly answer:
    | { readonly header: readonly string[]; readonly rows: readonly (readonly string[])[]; readonly tag: string }
    | { readonly error: string; readonly sqlstate: string };
}

export function printStep(played: PlayedStep): void {
  const width = Math.max(40, Math.min(process.stdout.columns ?? 120, 160));
  const title = `── ${played.number} ── ${played.step.agent}: ${played.step.title} `;
  const lines = [
    paint('bold', title.padEnd(width, '─')),
    paint('dim', sideBySide('the agent asked', 'the database was sent', width)[0] ?? ''),
    ...folded(sideBySide(asked(played.step), played.sent.join(';\n') || 'nothing', width), played.number === 1),
    '',
    ...played.decisions.flatMap((decision) => decisionLines(decision, 'error' in played.answer, width)),
    ...answerLines(played, width),
    '',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

function asked(step: DemoStep): string {
  return step.parameters === undefined ? step.sql : `${step.sql}\n-- $1 = ${step.parameters.join(', $2 = ')}`;
}

const VERDICT_COLOUR: Readonly<Record<string, 'green' | 'yellow' | 'red'>> = {
  Allowed: 'green',
  Masked: 'yellow',
  Denied: 'red',
  ApprovalRequired: 'red',
};

function decisionLines(decision: DecisionRecord, isError: boolean, width: number): readonly string[] {
  const { disposition, policy, unmapped } = decision;
  // The error below says the rest: here its slug will do.
  const reason = isError ? unmapped.reason?.split(':')[0] : unmapped.reason;
  const why = [
    reason === '' ? undefined : reason,
    unmapped.masked?.length ? `masks ${unmapped.masked.join(', ')}` : undefined,
    unmapped.rowFilters?.length ? `filters rows of ${unmapped.rowFilters.join(', ')}` : undefined,
  ].filter((part) => part !== undefined);
  const text = `${disposition} by ${policy.uid}${why.length === 0 ? '' : `: ${why.join('; ')}`}`;
  const colour = VERDICT_COLOUR[disposition] ?? 'blue';
  return wrap(text, width - 2).map((line, index) => paint(colour, `${index === 0 ? '▸ ' : '  '}${line}`));
}

const FOLDED_LINES = 9;

/** Rewritten statements are long: the first is shown whole, of the others enough to see what was done. */
function folded(lines: readonly string[], isWhole: boolean): readonly string[] {
  if (isWhole || lines.length <= FOLDED_LINES + 2) return lines;
  return [...lines.slice(0, FOLDED_LINES), paint('dim', `... ${lines.length - FOLDED_LINES} more lines`)];
}

function answerLines(played: PlayedStep, width: number): readonly string[] {
  const { answer } = played;
  if ('error' in answer) return wrap(`ERROR ${answer.sqlstate}: ${answer.error}`, width - 2).map((line) => `  ${line}`);
  if (answer.header.length === 0) return [`  ${answer.tag}`];
  const rows = answer.rows.length === 0 ? ['(no rows)'] : table(answer.header, answer.rows, width - 2);
  return rows.map((line) => `  ${line}`);
}
