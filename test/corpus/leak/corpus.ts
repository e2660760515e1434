/** The leak corpus: every payload shows a protected value without the gate. */
import { CATALOGS } from './catalogs.ts';
import { DEFINITIONS } from './definitions.ts';
import { DIAGNOSTICS } from './diagnostics.ts';
import { INFERENCE } from './inference.ts';
import { CATALOG_FILTERS, NAMES } from './names.ts';
import { PROCEDURAL } from './procedural.ts';
import { SHAPING } from './shaping.ts';
import { PARSING, WIRE } from './wire.ts';
import { WRITES } from './writes.ts';

export const LEAK_CORPUS = [
  ...SHAPING,
  ...INFERENCE,
  ...DIAGNOSTICS,
  ...CATALOGS,
  ...NAMES,
  ...CATALOG_FILTERS,
  ...WRITES,
  ...PROCEDURAL,
  ...DEFINITIONS,
  ...WIRE,
  ...PARSING,
];
