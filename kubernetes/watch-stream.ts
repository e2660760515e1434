/** The body of a watch: one JSON document a line. */
import type { IncomingMessage } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { ApiUnreachable } from './api-error.ts';

/** Longer than any object that etcd takes (1.5 MiB), with room for managed fields. */
const MAX_LINE_LENGTH = 32 * 1024 * 1024;

/** Each line as parsed JSON. Ends with the body; throws `ApiUnreachable` where it ends within a line or holds what is not JSON. */
export async function* readJsonLines(response: IncomingMessage): AsyncGenerator<unknown> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  try {
    for await (const chunk of response) {
      rest += decoder.write(chunk as Buffer);
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.trim() !== '') yield parse(line);
      }
      if (rest.length > MAX_LINE_LENGTH) throw new ApiUnreachable('a watch sent an event that is too long');
    }
  } catch (error) {
    if (error instanceof ApiUnreachable) throw error;
    throw new ApiUnreachable(`the watch was cut off: ${error instanceof Error ? error.message : 'unknown error'}`);
  } finally {
    response.destroy();
  }
  if (rest.trim() !== '') throw new ApiUnreachable('the watch was cut off within an event');
  if (!response.complete) throw new ApiUnreachable('the watch was cut off');
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new ApiUnreachable('a watch sent a line that is not JSON');
  }
}
