/** What a client gets, in a form in which two databases with the same contents give the same. */

/** Names in place of OIDs; the rows of an answer without an order of its own are sorted; of errors what does not depend on the server's build. */
export function comparable(
  seen: readonly string[],
  names: ReadonlyMap<string, string>,
  options: {
    readonly isOrdered: boolean /** Whether numbers of five digits in rows may be OIDs. */;
    readonly hasOids: boolean;
  },
): readonly string[] {
  const lines = seen.map((text) => {
    if (text.startsWith('T ')) return describedTypes(text, names);
    if (text.startsWith('E ') || text.startsWith('N ')) return errorOf(text);
    return text.startsWith('D ') && options.hasOids ? named(withoutPlace(text), names) : text;
  });
  return options.isOrdered ? lines : sortRows(lines);
}

function named(text: string, names: ReadonlyMap<string, string>): string {
  // The length before a cell goes: it differs with the OID's number of digits.
  return text
    .replace(/\\x0\\x0\\x0(\\x[0-9a-f]{1,2}|[ -~])(?=\d{5}(?!\d))/g, '|')
    .replace(/(?<!\d)\d{5}(?!\d)/g, (oid) => names.get(oid) ?? oid);
}

/** Names, types and formats of columns. The type of a whole row is `record` through the gate, as of any sub-select. */
function describedTypes(text: string, names: ReadonlyMap<string, string>): string {
  return text
    .replace(/ of \d+ -?\d+/g, '')
    .replace(/type (\d+)/g, (all, oid: string) => names.get(oid) ?? all)
    .replace(
      /type (customers|orders|products|tickets|employees|payments|payments_1|order_items|order_summary|Odd Names)\b/g,
      'type 2249',
    );
}

/** The name of the database differs here; other roles' names are not the agent's to see (an owner shows as NULL). */
function withoutPlace(text: string): string {
  return text
    .replace(/\\x0\\x0\\x0(\\x6honest|\\x4real)/g, '(database)')
    .replace(/\\x0\\x0\\x0(\\x8postgres|\\x11pg_database_owner)/g, String.raw`\xff\xff\xff\xff`);
}

/** SQLSTATE and position. What is denied and what does not exist is one to the agent: 42501. */
function errorOf(text: string): string {
  const code = /C=(\w+)/.exec(text)?.[1] ?? '';
  const position = /P=(\d+)/.exec(text)?.[1] ?? '';
  return ['42P01', '42883', '42501'].includes(code) ? 'E 42501' : `E ${code} ${position}`;
}

function sortRows(lines: readonly string[]): readonly string[] {
  const sorted: string[] = [];
  let rows: string[] = [];
  for (const text of [...lines, '']) {
    if (text.startsWith('D ')) rows.push(text);
    else {
      for (const row of rows.toSorted()) sorted.push(row);
      sorted.push(text);
      rows = [];
    }
  }
  return sorted;
}
