/** The object identifier alias types: their input looks a name up, their output prints one (PostgreSQL manual, 8.19). */

const REG_TYPE_OIDS = {
  regclass: 2205,
  regcollation: 4191,
  regconfig: 3734,
  regdictionary: 3769,
  regnamespace: 4089,
  regoper: 2203,
  regoperator: 2204,
  regproc: 24,
  regprocedure: 2202,
  regrole: 4096,
  regtype: 2206,
} as const;

export type RegType = keyof typeof REG_TYPE_OIDS;

const REG_TYPE_BY_OID: ReadonlyMap<number, RegType> = new Map(
  (Object.keys(REG_TYPE_OIDS) as RegType[]).map((name) => [REG_TYPE_OIDS[name], name]),
);

/** Whether a type name of pg_catalog is one of them. */
export function isRegType(name: string): name is RegType {
  return Object.hasOwn(REG_TYPE_OIDS, name);
}

/** The alias type behind a type OID, if it is one. */
export function regTypeOfOid(typeOid: number): RegType | undefined {
  return REG_TYPE_BY_OID.get(typeOid);
}
