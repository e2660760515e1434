/** Names of the gate's own columns begin with `postern_`: the agent may not choose or write one, or it could stand in for a flag. */
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { isTree } from './tree-access.ts';

const PREFIX = 'postern_';
/** Texts without either cannot hold such a name: escapes are written U&"...". */
const MAY_HOLD = /postern_|u&"/i;

function visit(value: unknown): void {
  if (typeof value === 'string') {
    if (value.startsWith(PREFIX))
      refuse('not_supported', { subject: `the name ${value}`, advice: 'names that begin with postern_ are reserved' });
  } else if (Array.isArray(value)) for (const element of value) visit(element);
  else if (isTree(value)) for (const key in value) if (key !== 'A_Const') visit(value[key]);
}

/** Refuses a statement that names anything `postern_...`, however it is spelled; literals may hold it. Throws RefusalError. */
export function refuseReservedNames(text: string, statement: Tree): void {
  if (MAY_HOLD.test(text)) visit(statement);
}
