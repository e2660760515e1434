/** The texts, one a line of the two files. */
import { readFileSync } from 'node:fs';

function lines(file: string): readonly string[] {
  const text = readFileSync(new URL(file, import.meta.url), 'utf8');
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('-- '));
}

export const REGRESSION_CORPUS: readonly string[] = [...lines('./queries.sql'), ...lines('./commands.sql')];
