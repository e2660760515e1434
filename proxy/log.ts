/**
 * The process's log: pino, JSON lines on stderr. Nothing that is logged holds SQL text, a value, a password or a token. pino is
 * loaded for the first line, which a start without problems writes when it accepts connections; lines until then are kept.
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
  const leastLevel = LOG_LEVELS.find((known) => known === process.env['POSTERN_LOG_LEVEL']) ?? 'info';
  const waiting: { readonly level: Level; readonly fields: object; readonly message: string }[] = [];
  let logger: Logger | undefined;
  const write = (level: Level, fields: object, message: string): void => {
    const timed = { ...fields, time: new Date().toISOString() };
    if (logger !== undefined) logger[level](timed, message);
    else if (waiting.push({ level, fields: timed, message }) === 1) void open();
  };
  const open = async (): Promise<void> => {
    const opened = await openPino(leastLevel);
    logger = opened;
    for (const { level, fields, message } of waiting.splice(0)) opened[level](fields, message);
  };
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
