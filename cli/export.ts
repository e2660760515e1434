/** `postern export SOURCE --parquet DIRECTORY`: the columnar copy, `event_date=YYYY-MM-DD/part-N.parquet`, each record once. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parquetWriteFile } from 'hyparquet-writer';
import { UsageError } from './arguments.ts';
import { COLUMNS, type Row, rowOf } from './parquet-columns.ts';
import { linesOf, openSource, Progress, type StoreArguments } from './record-source.ts';
import { SeenNumbers } from '#audit/seen-numbers.ts';

export interface ExportArguments extends StoreArguments {
  readonly parquet: string;
}

/** Rows in memory, of all days together; a file is written when they are reached. */
const MAX_ROWS = 100_000;

/** Prints how much it wrote; 0, or 1 where lines were no records. Throws UsageError for folders that cannot be used. */
export async function runExport(given: string, options: ExportArguments): Promise<number> {
  const directory = options.parquet;
  const source = await openSource(given, options);
  try {
    prepare(directory);
    const files = new ParquetFolder(directory);
    const seen = new Map<string, SeenNumbers>();
    const progress = new Progress();
    let [copies, unreadable] = [0, 0];
    for (const object of source.records) {
      for await (const line of linesOf(source, object)) {
        const row = parse(line);
        if (row === undefined) unreadable += 1;
        else if (isFirst(seen, row)) files.add(row);
        else copies += 1;
      }
      progress.show(() => `${files.rows} records ...`);
    }
    files.flush();
    progress.end();
    const notes = `${copies === 0 ? '' : `, ${copies} copies left out`}${unreadable === 0 ? '' : `, ${unreadable} lines that are no records left out: run postern verify`}`;
    process.stdout.write(`${files.rows} records in ${files.count} files${notes}\n`);
    return unreadable === 0 ? 0 : 1;
  } finally {
    source.close();
  }
}

function prepare(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
    if (readdirSync(directory).length === 0) return;
  } catch {
    throw new UsageError(`--parquet ${directory} cannot be made`);
  }
  throw new UsageError(`--parquet ${directory} is not empty: give a new folder, so that no record stands there twice`);
}

function parse(line: string): Row | undefined {
  try {
    return rowOf(JSON.parse(line));
  } catch {
    return undefined;
  }
}

/** Records are sent at least once: the first copy counts. */
function isFirst(seen: Map<string, SeenNumbers>, { chain, seq }: Row): boolean {
  let numbers = seen.get(chain);
  if (numbers === undefined) seen.set(chain, (numbers = new SeenNumbers()));
  return numbers.add(seq);
}

class ParquetFolder {
  readonly #directory: string;
  readonly #days = new Map<string, Row[]>();
  #waiting = 0;
  #files = 0;
  #rows = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  get count(): number {
    return this.#files;
  }

  get rows(): number {
    return this.#rows;
  }

  add(row: Row): void {
    const rows = this.#days.get(row.date);
    if (rows === undefined) this.#days.set(row.date, [row]);
    else rows.push(row);
    this.#rows += 1;
    this.#waiting += 1;
    if (this.#waiting >= MAX_ROWS) this.flush();
  }

  /** Writes what waits, one file for each day. */
  flush(): void {
    for (const [date, rows] of this.#days) this.#write(date, rows);
    this.#days.clear();
    this.#waiting = 0;
  }

  #write(date: string, rows: readonly Row[]): void {
    const folder = join(this.#directory, `event_date=${date}`);
    mkdirSync(folder, { recursive: true });
    this.#files += 1;
    parquetWriteFile({
      filename: join(folder, `part-${this.#files}.parquet`),
      columnData: COLUMNS.map(({ name, type }, index) => ({
        name,
        type,
        data: rows.map(({ values }) => values[index] ?? null),
      })),
      rowGroupSize: MAX_ROWS,
    });
  }
}
