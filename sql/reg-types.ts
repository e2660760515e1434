/** The object identifier alias types: their input looks a name up, their output prints one (PostgreSQL manual, 8.19). */

const REG_TYPES = [
  'regclass',
  'regcollation',
  'regconfig',
  'regdictionary',
  'regnamespace',
  'regoper',
  'regoperator',
  'regproc',
  'regprocedure',
  'regrole',
  'regtype',
] as const;

export type RegType = (typeof REG_TYPES)[number];

const NAMES: ReadonlySet<string> = new Set(REG_TYPES);

/** Whether a type name of pg_catalog is one of them. */
export function isRegType(name: string): name is RegType {
  return NAMES.has(name);
}
