/** Content redaction alone, in this process: CPU time per row of the `wide` table, as messages in 64 kB chunks. */
import { CopyRedaction, loadRedaction, rowRedactor } from '#session/result-redaction.ts';
import { ByteQueue } from '#session/byte-queue.ts';
import { encodeCopyData, encodeDataRow } from '#wire/encode.ts';
import { type Figure, median } from './statistics.ts';

const CHUNK_BYTES = 65_536;
const ROWS = 10_000;
/** All but phone numbers: their library, not the search for candidates, is what would be measured. */
const MOST = ['EmailAddress', 'CreditCard', 'UsSsn', 'Iban', 'IpAddress', 'Jwt', 'AwsAccessKey', 'PrivateKey'] as const;
const FIELDS = [23, 23, 20, 1184, 25, 25].map((typeOid, index) => ({
  name: `column_${index}`,
  tableOid: 0,
  attnum: 0,
  typeOid,
  typeSize: -1,
  typmod: -1,
  format: 0,
}));

type Cells = readonly string[];

/** The rows of `wide`; every `findingEach`-th holds an address. */
function cellsOf(id: number, findingEach: number): Cells {
  const at = new Date(Date.UTC(2026, 0, 1) + id * 1_000).toISOString().slice(0, 19).replace('T', ' ');
  const name = findingEach > 0 && id % findingEach === 0 ? `person${id}@example.com` : `person number ${id}`;
  const note = `a note about order ${String((id * 31) % 900_001).padStart(7, '0')} kept as text`;
  return [String(id), String(id % 1_000), String(id * 1_000_003), `${at}+00`, name, note];
}

function chunksOf(encode: (cells: Cells) => Buffer, findingEach: number): readonly Buffer[] {
  const chunks: Buffer[] = [];
  let messages: Buffer[] = [];
  let bytes = 0;
  for (let row = 0; row < ROWS; row++) {
    const message = encode(cellsOf(100_000 + row * 17, findingEach));
    messages.push(message);
    bytes += message.length;
    if (bytes < CHUNK_BYTES && row < ROWS - 1) continue;
    chunks.push(Buffer.concat(messages));
    messages = [];
    bytes = 0;
  }
  return chunks;
}

const encodeRow = (cells: Cells): Buffer => encodeDataRow(cells.map((cell) => Buffer.from(cell)));
const encodeLine = (separator: string) => (cells: Cells) => encodeCopyData(Buffer.from(`${cells.join(separator)}\n`));

/** Nanoseconds of CPU time per row: the median of several passes, the first ones dropped. */
function measure(chunks: readonly Buffer[], redact: (chunk: Buffer, out: ByteQueue) => void): number {
  const times: number[] = [];
  for (let pass = 0; pass < 9; pass++) {
    const before = process.cpuUsage();
    for (const chunk of chunks) {
      const out = new ByteQueue();
      redact(chunk, out);
      out.take();
    }
    const { user, system } = process.cpuUsage(before);
    if (pass >= 3) times.push(((user + system) * 1_000) / ROWS);
  }
  return median(times);
}

export async function measureRedaction(): Promise<readonly Figure[]> {
  await loadRedaction();
  const figures: Figure[] = [];
  for (const { label, detectors } of [
    { label: 'two detectors', detectors: ['EmailAddress', 'CreditCard'] },
    { label: 'all but phone numbers', detectors: MOST },
  ]) {
    const redaction = { detectors, patterns: [], maxRowBytes: 1_048_576 };
    const rows = rowRedactor(redaction, FIELDS);
    const copyText = new CopyRedaction(redaction, false, 'COPY wide TO STDOUT');
    const copyCsv = new CopyRedaction(redaction, false, 'COPY wide TO STDOUT (FORMAT csv)');
    for (const findingEach of [0, 10]) {
      const add = (name: string, value: number): void => {
        const group = `Content redaction, ${label}, ${findingEach === 0 ? 'no finding' : 'a finding in each tenth row'}`;
        figures.push({ group, name, value, unit: 'ns/row' });
      };
      add(
        'rows',
        measure(chunksOf(encodeRow, findingEach), (chunk, out) => rows.redactRun(chunk, 0, chunk.length, out)),
      );
      add(
        'COPY text',
        measure(chunksOf(encodeLine('\t'), findingEach), (chunk, out) => copyText.pushRun(chunk, 0, chunk.length, out)),
      );
      add(
        'COPY csv',
        measure(chunksOf(encodeLine(','), findingEach), (chunk, out) => copyCsv.pushRun(chunk, 0, chunk.length, out)),
      );
    }
  }
  return figures;
}
