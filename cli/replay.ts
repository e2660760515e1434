/** `postern replay SOURCE`: a recorded session as it happened, in the terminal or as one HTML page; without `--session` the sessions found. */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { printPage } from '#replay/page.ts';
import { entryLines, headLines, sessionLines } from '#replay/terminal.ts';
import { buildTimeline, SessionList, type Timeline } from '#replay/timeline.ts';
import { UsageError } from './arguments.ts';
import {
  linesOf,
  openSource,
  Progress,
  type RecordSource,
  type SourceObject,
  type StoreArguments,
} from './record-source.ts';

export interface ReplayArguments extends StoreArguments {
  readonly session?: string;
  readonly speed: string;
  readonly html?: string;
}

const DEFAULT_WIDTH = 120;
/** What a session may have: beyond it a replay would fill the memory. */
const MAX_LINES = 1_000_000;

/** Prints, and resolves to the exit code; 1 where there is no such session. Throws UsageError for what cannot be read. */
export async function runReplay(given: string, options: ReplayArguments): Promise<number> {
  const { session, html } = options;
  const speed = Number(options.speed);
  if (options.speed.trim() === '' || !Number.isFinite(speed) || speed < 0)
    throw new UsageError(
      `--speed: expected a number such as 1, 10 or 0 (at once), found ${JSON.stringify(options.speed)}`,
    );
  if (session === undefined && html !== undefined) throw new UsageError('--html needs --session');
  const source = await openSource(given, options);
  try {
    if (session === undefined) return await listSessions(source);
    const timeline = await readTimeline(source, session);
    if (timeline === undefined) {
      process.stderr.write(`postern: ${given} holds no record of session ${JSON.stringify(session)}\n`);
      return 1;
    }
    if (html === undefined) await play(timeline, speed);
    else await writeFile(html, printPage(timeline), { mode: 0o600 });
    return 0;
  } finally {
    source.close();
  }
}

async function listSessions(source: RecordSource): Promise<number> {
  const list = new SessionList();
  for await (const record of parsedLines(source, source.records, '"actor":{"session"')) list.add(record);
  const { sessions } = list;
  process.stdout.write(sessions.length === 0 ? 'no sessions\n' : `${sessionLines(sessions).join('\n')}\n`);
  return 0;
}

async function readTimeline(source: RecordSource, session: string): Promise<Timeline | undefined> {
  const word = JSON.stringify(session);
  const [records, results] = [await kept(source, source.records, word), await kept(source, source.results, word)];
  return buildTimeline(session, records, results);
}

async function kept(source: RecordSource, objects: readonly SourceObject[], word: string): Promise<readonly unknown[]> {
  const lines: unknown[] = [];
  for await (const line of parsedLines(source, objects, word)) {
    lines.push(line);
    if (lines.length > MAX_LINES)
      throw new Error(`the session has more than ${MAX_LINES} records; export them instead`);
  }
  return lines;
}

/** What can be parsed of the lines that hold `word`: whether records are sound is for `verify` to say. */
async function* parsedLines(
  source: RecordSource,
  objects: readonly SourceObject[],
  word: string,
): AsyncGenerator<unknown> {
  const progress = new Progress();
  for (const [index, object] of objects.entries()) {
    for await (const line of linesOf(source, object, word)) {
      try {
        yield JSON.parse(line);
      } catch {
        process.stderr.write(`postern: ${object.name} holds a line that is no record; verify names it\n`);
      }
    }
    progress.show(() => `${index + 1} of ${objects.length} objects ...`);
  }
  progress.end();
}

async function play(timeline: Timeline, speed: number): Promise<void> {
  const { stdout } = process;
  const style = {
    hasColours: stdout.isTTY && process.env['NO_COLOR'] === undefined,
    width: stdout.columns || DEFAULT_WIDTH,
  };
  // Who reads may have seen enough (`| head`).
  stdout.once('error', () => process.exit(0));
  stdout.write(`${headLines(timeline).join('\n')}\n`);
  let beforeMs = timeline.startMs;
  for (const entry of timeline.entries) {
    if (speed > 0) await sleep(Math.min(Math.max(0, entry.timeMs - beforeMs) / speed, 2_147_483_647));
    beforeMs = entry.timeMs;
    stdout.write(`${entryLines(entry, timeline.startMs, style).join('\n')}\n`);
  }
}
