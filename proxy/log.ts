/** The process's log: pino, JSON lines on stderr. Nothing that is logged holds SQL text, a value, a password or a token. */
import { destination, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/** Paths that are cut out should a secret ever get into an object that is logged. */
const secretPaths = ['password', 'token', 'maskKey', 'secret', 'authorization'].flatMap((name) => [name, `*.${name}`]);

/** `level` as pino names it; `silent` for tests. */
export function openLog(level = 'info'): Logger {
  return pino(
    {
      level,
      base: { program: 'postern' },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretPaths, censor: '[redacted]' },
      serializers: { err: describeError },
    },
    destination({ fd: 2, sync: true }),
  );
}

/** Name, message and stack, but never the properties that libraries hang on errors. */
function describeError(error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof Error)) return { message: typeof error === 'string' ? error : 'unknown error' };
  return { name: error.name, message: error.message, stack: error.stack ?? '' };
}
