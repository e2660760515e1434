/** Lines of a segment, read without reading all of it. */
import { type FileHandle, open } from 'node:fs/promises';

const NEWLINE = 0x0a;
const SCAN_BYTES = 256 * 1024;

export interface LineRange {
  /** Where a line begins. */
  readonly offset: number;
  /** Where the last whole line of the file ends. */
  readonly end: number;
  /** A line that is larger comes alone. */
  readonly maxBytes: number;
  readonly maxLines: number;
}

/** Whole lines from `offset` on, and how many; none where the file ends before. Rejects where it cannot be read. */
export async function readLines(path: string, range: LineRange): Promise<{ lines: Buffer; count: number }> {
  const file = await open(path, 'r');
  try {
    for (let size = range.maxBytes; ; size *= 2) {
      const bytes = await readAt(file, range.offset, Math.min(size, range.end - range.offset));
      const found = wholeLines(bytes, size > range.maxBytes ? 1 : range.maxLines);
      if (found.count > 0 || size >= range.end - range.offset) return found;
    }
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, offset: number, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(Math.max(0, size));
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function wholeLines(bytes: Buffer, maxLines: number): { readonly lines: Buffer; readonly count: number } {
  let end = 0;
  let count = 0;
  while (count < maxLines) {
    const next = bytes.indexOf(NEWLINE, end);
    if (next < 0) break;
    end = next + 1;
    count += 1;
  }
  return { lines: bytes.subarray(0, end), count };
}

/** Where line `index` (from 0) begins; undefined: the file has fewer lines. Rejects where it cannot be read. */
export async function offsetOfLine(path: string, index: number): Promise<number | undefined> {
  if (index === 0) return 0;
  const file = await open(path, 'r');
  try {
    let left = index;
    for (let offset = 0; ; ) {
      const bytes = await readAt(file, offset, SCAN_BYTES);
      const { lines, count } = wholeLines(bytes, left);
      left -= count;
      if (left === 0) return offset + lines.length;
      if (bytes.length < SCAN_BYTES) return undefined;
      offset += bytes.length;
    }
  } finally {
    await file.close();
  }
}

/** The first `count` lines of these. */
export function firstLines(lines: Buffer, count: number): Buffer {
  return wholeLines(lines, count).lines;
}
