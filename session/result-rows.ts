import { Buffer } from 'node:buffer';
import type { Denial } from '#policy/decision.ts';
import { denialFor } from '#policy/reasons.ts';
import { dataRowColumnCount, decodeDataRow } from '#wire/decode.ts';
import { encodeDataRow } from '#wire/encode.ts';
import type { Framer } from '#wire/framer.ts';
import { BACKEND } from '#wire/messages.ts';
import { WireError } from '#wire/wire-error.ts';
import { encodeDenial } from './denials.ts';
import { reduceExplainCell } from './explain.ts';
import type { FrameView } from './forward.ts';
import type { RowRedactor } from './redaction.ts';
import { MAX_RECORDED_BYTES } from './result-recorder.ts';
import type { CopyRedaction } from './result-redaction.ts';
import type { Entry, SessionState } from './session-state.ts';

/** Rows and COPY data on their way to the agent: counted by their headers, and as a rule passed on as the bytes they are. */

/** A streamed part needs no look inside: the row passes or is dropped whatever it holds. */
export function mayStreamRow(state: SessionState, tag: number, totalBytes: number): boolean {
  if (tag !== BACKEND.dataRow && tag !== BACKEND.copyData) return false;
  const entry = state.queue.first;
  if (entry === undefined) return false;
  if (entry.muted || totalBytes > maxHeldBytes(entry)) return true;
  // Recorded rows are kept whole, where they can be recorded at all.
  return entry.passes && (state.results === undefined || totalBytes > MAX_RECORDED_BYTES);
}

/** Rows that are looked into are held whole; beyond this many bytes the statement ends instead (onRow). */
function maxHeldBytes({ sent }: Entry): number {
  const decided = sent?.hit.decided;
  const redaction = decided?.observed === false ? decided.policy.redaction : undefined;
  return redaction?.maxRowBytes ?? Number.POSITIVE_INFINITY;
}

/** Passes the whole rows that come next all at once, with their content redacted where only that is to be done; false: there are none. */
export function passRows(state: SessionState, framer: Framer): boolean {
  const entry = state.queue.first;
  if (state.results !== undefined || entry === undefined || entry.failed || entry.muted || entry.swallow) return false;
  if (!entry.passes && !isOnlyRedacted(entry)) return false;
  const limits = entry.sent?.hit.decided.policy.limits;
  const left = {
    messages: (limits?.maxRows ?? Number.POSITIVE_INFINITY) - entry.rows,
    bytes: (limits?.maxResultBytes ?? Number.POSITIVE_INFINITY) - entry.bytes,
  };
  const mayBe = (tag: number): boolean => mayHaveRows(entry, tag);
  const count =
    (mayBe(BACKEND.dataRow) && framer.nextRun(BACKEND.dataRow, left)) ||
    (mayBe(BACKEND.copyData) && framer.nextRun(BACKEND.copyData, left));
  if (count === false || count === 0) return false;
  const { buffer, start, end } = framer;
  entry.rows += count;
  entry.bytes += end - start;
  if (entry.passes) state.toClient.pass(buffer, start, end);
  else if (framer.tag === BACKEND.dataRow) describedRows(state).redactRun(buffer, start, end, state.toClient);
  else describedCopy(state).pushRun(buffer, start, end, state.toClient);
  return true;
}

/** Nothing else is to be done with the rows. A row larger than a chunk comes as one message through onRow. */
function isOnlyRedacted({ sent, plan }: Entry): boolean {
  const decided = sent?.hit.decided;
  return decided?.policy.redaction !== undefined && !decided.observed && plan?.passes === true;
}

/** DataRow or CopyData, or a part of one. */
export function onRow(state: SessionState, frame: FrameView): void {
  const { buffer, start, end } = frame;
  const entry = state.queue.first;
  if (frame.isContinuation) {
    if (state.passingRow) state.toClient.pass(buffer, start, end);
    state.results?.leaveOut();
    return;
  }
  if (entry === undefined || entry.failed || !mayHaveRows(entry, frame.tag)) {
    throw new WireError('the database sent a row that nobody asked for');
  }
  state.passingRow = false;
  if (entry.muted || entry.swallow) return;
  entry.rows++;
  entry.bytes += end - start + frame.remaining;
  const limits = entry.sent?.hit.decided.policy.limits;
  if (limits !== undefined && exceedsLimit(state, entry)) return;
  if (frame.remaining > 0 && !entry.passes) {
    const values = { limit: String(maxHeldBytes(entry)) };
    endByLimit(state, entry, denialFor('row_too_large', values, entry.sent?.hit.decided.policy.errors));
    return;
  }
  if (entry.passes) {
    state.passingRow = true;
    giveRow(state, entry, frame);
    return;
  }
  changeRow(state, entry, frame);
}

/** A Query announces its rows; an Execute was described before, if the client cared to. */
function mayHaveRows(entry: Entry, tag: number): boolean {
  if (entry.kind !== 'query' && entry.kind !== 'execute') return false;
  return entry.described || (entry.kind === 'execute' && tag === BACKEND.dataRow);
}

function changeRow(state: SessionState, entry: Entry, frame: FrameView): void {
  const decided = entry.sent?.hit.decided;
  const isRedacted = decided?.policy.redaction !== undefined && !decided.observed;
  if (frame.tag === BACKEND.copyData) {
    passCopyData(state, entry, frame, isRedacted);
    return;
  }
  const { buffer, start, end } = isRedacted ? redactRow(state, frame) : frame;
  const { plan } = entry;
  if (plan === undefined) throw new WireError('the database sent a row that nobody asked for');
  const { shape } = plan;
  if (shape.explain !== undefined) {
    const [cell] = decodeDataRow(buffer, start, end);
    const reduced = cell === undefined ? undefined : reduceExplainCell(shape.explain, cell);
    if (reduced !== undefined) giveRow(state, entry, wholeRow(encodeDataRow([reduced])));
    return;
  }
  if (shape.hidesRows) {
    entry.rows = 0;
    return;
  }
  if (shape.strippedColumns === 0) giveRow(state, entry, { buffer, start, end });
  else giveRow(state, entry, wholeRow(stripRow(buffer, start, end, shape.strippedColumns)));
}

function wholeRow(buffer: Buffer): Range {
  return { buffer, start: 0, end: buffer.length };
}

/** What the agent gets: a row or COPY data, recorded as such where results are. */
function giveRow(
  state: SessionState,
  entry: Entry,
  { buffer, start, end }: Range & { readonly remaining?: number },
): void {
  state.toClient.pass(buffer, start, end);
  const { results } = state;
  if (results === undefined) return;
  const isWhole = end - start === buffer.readUInt32BE(start + 1) + 1;
  if (!isWhole) results.leaveOut();
  else if (buffer[start] === BACKEND.dataRow) results.addRow(buffer, start, end, entry.portal?.resultFormats ?? []);
  else results.addCopyData(buffer.subarray(start + 5, end));
}

type Range = Pick<FrameView, 'buffer' | 'start' | 'end'>;

/** The row after content redaction. Without a description of its columns it cannot be judged, and the session ends. */
function redactRow(state: SessionState, frame: FrameView): Range {
  const message = frame.buffer.subarray(frame.start, frame.end);
  const redacted = describedRows(state).redactRow(message);
  return redacted === message ? frame : { buffer: redacted, start: 0, end: redacted.length };
}

function describedRows({ rowRedactor }: SessionState): RowRedactor {
  if (rowRedactor === undefined) throw new WireError('the database sent a row without a description');
  return rowRedactor;
}

function describedCopy({ copyRedaction }: SessionState): CopyRedaction {
  if (copyRedaction === undefined) throw new WireError('the database sent COPY data without a description');
  return copyRedaction;
}

function passCopyData(state: SessionState, entry: Entry, frame: FrameView, isRedacted: boolean): void {
  const { buffer, start, end } = frame;
  if (!isRedacted) {
    giveRow(state, entry, frame);
    return;
  }
  const message = describedCopy(state).push(buffer.subarray(start, end));
  if (message !== undefined) giveRow(state, entry, wholeRow(message));
}

/** The row without its last columns. */
function stripRow(buffer: Buffer, start: number, end: number, stripped: number): Buffer {
  const kept = dataRowColumnCount(buffer, start, end) - stripped;
  if (kept < 0) throw new WireError('the database sent a row with too few columns');
  let position = start + 7;
  for (let column = 0; column < kept; column++) {
    if (position + 4 > end) throw new WireError('message ends inside a field');
    const length = buffer.readInt32BE(position);
    position += 4 + Math.max(length, 0);
  }
  if (position > end) throw new WireError('message ends inside a field');
  const row = Buffer.from(buffer.subarray(start, position));
  row.writeInt32BE(position - start - 1, 1);
  row.writeInt16BE(kept, 5);
  return row;
}

function exceedsLimit(state: SessionState, entry: Entry): boolean {
  const policy = entry.sent?.hit.decided.policy;
  if (policy === undefined) return false;
  const { maxRows, maxResultBytes } = policy.limits;
  const overRows = maxRows !== undefined && entry.rows > maxRows;
  if (!overRows && (maxResultBytes === undefined || entry.bytes <= maxResultBytes)) return false;
  if (entry.plan?.shape.hidesRows === true || entry.sent?.hit.decided.observed === true) return false;
  const denial = overRows
    ? denialFor('row_limit', { limit: String(maxRows) }, policy.errors)
    : denialFor('byte_limit', { limit: String(maxResultBytes) }, policy.errors);
  endByLimit(state, entry, denial);
  return true;
}

/** Over a limit: the agent gets its error at once, the server is asked to cancel, and what still comes is dropped. */
function endByLimit(state: SessionState, entry: Entry, denial: Denial): void {
  entry.limit = denial;
  entry.muted = true;
  state.toClient.push(encodeDenial(denial));
  state.cancelsInFlight++;
  state.ports.cancelUpstream();
}
