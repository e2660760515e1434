/** What the demo reads back: the gate's own audit records, and the log in which the server wrote what it was sent. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const decisionRecord = z.object({
  disposition: z.string(),
  status_code: z.string(),
  policy: z.object({ uid: z.string() }),
  unmapped: z.object({
    phase: z.literal('decision'),
    reason: z.string().optional(),
    masked: z.array(z.string()).optional(),
    rowFilters: z.array(z.string()).optional(),
  }),
});

/** One decision record, as far as the demo shows it. */
export type DecisionRecord = z.infer<typeof decisionRecord>;

/** All decision records of an audit file, oldest first. */
export async function decisionsOf(auditFile: string): Promise<readonly DecisionRecord[]> {
  return (await linesOf(auditFile)).flatMap((line) => {
    const parsed = decisionRecord.safeParse(line);
    return parsed.success ? [parsed.data] : [];
  });
}

/** What the demo's client calls itself: the gate passes it on, so the server's log tells its sessions from the gate's own. */
export const APPLICATION_NAME = 'postern demo agent';

const logEntry = z.object({ application_name: z.literal(APPLICATION_NAME), message: z.string() });

/** What the server was sent in the agents' sessions so far; `logFile` is its log in JSON lines. */
export async function sentStatements(logFile: string): Promise<readonly string[]> {
  return (await linesOf(logFile)).flatMap((line) => {
    const parsed = logEntry.safeParse(line);
    const text = parsed.success ? /^(?:statement|execute [^:]*): ([\s\S]*)$/.exec(parsed.data.message)?.[1] : undefined;
    return text === undefined ? [] : [text];
  });
}

async function linesOf(path: string): Promise<readonly unknown[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .split('\n')
    .slice(0, -1)
    .flatMap((line): readonly unknown[] => {
      try {
        return [JSON.parse(line)];
      } catch {
        return [];
      }
    });
}
