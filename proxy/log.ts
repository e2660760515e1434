/**
 * The process's log: pino, JSON lines on stderr. Nothing that is logged holds SQL text, a value, a password or a token. pino loads in the
 * background, so that the first connection need not wait for it; lines until then are kept.
 */
import type { Logger } from 'pino';

export interface Log {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
  readonly error: (fields: object, message: string) => void;
}

type Level = 'info' | 'warn' | 'error';

/** Paths that are cut out should a secret ever get into an object that is logged. */
const secretPaths = ['password', 'token', 'maskKey', 'secret', 'authorization'].flatMap((name) => [name, `*.${name}`]);

/** A log that says nothing. */
export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
type LogLevel = (typeof LOG_LEVELS)[number];

/** Opens the log on stderr. Lines below POSTERN_LOG_LEVEL, as the chart and the injector set it, are left out; default info. */
export function openLog(): Log {
  const level = LOG_LEVELS.find((known) => known === process.env['POSTERN_LOG_LEVEL']) ?? 'info';
  const waiting: { readonly level: Level; readonly fields: object; readonly message: string }[] = [];
  let logger: Logger | undefined;
  const write = (level: Level, fields: object, message: string): void => {
    if (logger === undefined) waiting.push({ level, fields: { ...fields, time: new Date().toISOString() }, message });
    else logger[level]({ ...fields, time: new Date().toISOString() }, message);
  };
  setImmediate(() => {
    void openPino(level).then((opened) => {
      logger = opened;
      for (const { level, fields, message } of waiting.splice(0)) opened[level](fields, message);
    });
  });
  return {
    info: (fields, message) => write('info', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
  };
}

async function openPino(level: LogLevel): Promise<Logger> {
  const { destination, pino } = await import('./load-pino.ts');
  return pino(
    {
      level,
      base: { program: 'postern' },
      timestamp: false,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretPaths, censor: '[redacted]' },
    },
    destination({ fd: 2, sync: true }),
  );
}
