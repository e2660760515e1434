/** YAML text → documents. A module of its own, so that manifests load the library when there are any. */
import { constructFromEvents, type Event, EVENT_ID, getScalarValue, parseEvents, YAMLException } from 'js-yaml';

/** Bounds what a few lines can grow into: aliases, and none of them within what another stands for. */
const MAX_ALIASES = 100;
const MAX_DEPTH = 100;

export interface YamlDocument {
  readonly value: unknown;
  /** The line (from 1) of `spec.tables[0].name`, or of the nearest thing around it; `undefined`: an empty document. */
  readonly lineOf: (path: readonly string[]) => number | undefined;
}

export type YamlRead =
  | { readonly kind: 'parsed'; readonly documents: readonly YamlDocument[] }
  | { readonly kind: 'invalid'; readonly line: number; readonly message: string };

/** All documents of a text, YAML 1.2 core schema; its first fault otherwise. */
export function parseYaml(text: string): YamlRead {
  try {
    const events = parseEvents(text, { maxDepth: MAX_DEPTH });
    refuseNestedAliases(text, events);
    const values = constructFromEvents(events, { source: text, maxAliases: MAX_ALIASES });
    const starts = events.flatMap((event, index) => (event.type === EVENT_ID.DOCUMENT ? [index] : []));
    const documents = values.map((value, index): YamlDocument => {
      const lineOf = (path: readonly string[]): number | undefined => {
        const place = placeOf({ text, events }, (starts[index] ?? 0) + 1, path);
        return place === undefined ? undefined : lineAt(text, place);
      };
      return { value, lineOf };
    });
    return { kind: 'parsed', documents };
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    return { kind: 'invalid', line: lineAt(text, error.mark?.position ?? 0), message: error.reason };
  }
}

/** With them, ten lines can stand for 10^9 values. */
function refuseNestedAliases(text: string, events: readonly Event[]): void {
  /** For each open collection: whether it, or one around it, has an anchor. */
  const open = [false];
  for (const event of events) {
    const isAnchored = open.at(-1) === true;
    if (event.type === EVENT_ID.POP) open.pop();
    else if (event.type === EVENT_ID.DOCUMENT) open.push(false);
    else if (event.type === EVENT_ID.MAPPING || event.type === EVENT_ID.SEQUENCE) {
      open.push(isAnchored || event.anchorStart >= 0);
    } else if (event.type === EVENT_ID.ALIAS && isAnchored) {
      YAMLException.throwAt(
        text,
        event.anchorStart,
        'an alias within an anchored value is not supported; write it out',
      );
    }
  }
}

interface Parsed {
  readonly text: string;
  readonly events: readonly Event[];
}

/** Offset of the node at `path` below that of `events[at]`, or of the last one on the way. */
function placeOf({ text, events }: Parsed, at: number, path: readonly string[]): number | undefined {
  const event = events[at];
  if (event === undefined || event.type === EVENT_ID.POP || event.type === EVENT_ID.DOCUMENT) return undefined;
  if (event.type === EVENT_ID.SCALAR) return event.valueStart;
  if (event.type === EVENT_ID.ALIAS) return event.anchorStart;
  const [step, ...rest] = path;
  if (step === undefined) return event.start;
  let child = at + 1;
  for (let item = 0; events[child] !== undefined && events[child]?.type !== EVENT_ID.POP; item++) {
    const key = events[child];
    const value = event.type === EVENT_ID.MAPPING ? behind(events, child) : child;
    const name = key?.type === EVENT_ID.SCALAR && value !== child ? getScalarValue(text, key) : String(item);
    if (name === step) return placeOf({ text, events }, value, rest) ?? event.start;
    child = behind(events, value);
  }
  return event.start;
}

/** Index of the event behind the node that begins here. */
function behind(events: readonly Event[], at: number): number {
  let depth = 0;
  let index = at;
  do {
    const type = events[index]?.type;
    if (type === EVENT_ID.MAPPING || type === EVENT_ID.SEQUENCE) depth += 1;
    else if (type === EVENT_ID.POP) depth -= 1;
    index += 1;
  } while (depth > 0 && index < events.length);
  return index;
}

function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let end = text.indexOf('\n'); end >= 0 && end < offset; end = text.indexOf('\n', end + 1)) line += 1;
  return line;
}
