/** The pieces of command lines that several commands take. Each parser throws UsageError with what is expected. */
import type { Identity } from '#policy/identity.ts';

/** A fault of the command line: exit code 2. */
export class UsageError extends Error {}

const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;

/** `NS/NAME` of an object; `option` is named in the message. */
export function parseObjectName(
  text: string,
  option: string,
  example: string,
): { readonly namespace: string; readonly name: string } {
  const [namespace = '', name = '', ...more] = text.split('/');
  if (more.length > 0 || !label.test(namespace) || !subdomain.test(name)) {
    throw new UsageError(`${option}: expected NAMESPACE/NAME such as ${example}, found ${JSON.stringify(text)}`);
  }
  return { namespace, name };
}

export interface IdentityArguments {
  readonly as: string;
  readonly group: readonly string[];
  readonly claim: readonly string[];
}

/** `--as NS/SERVICEACCOUNT`, `--group G`, `--claim NAME=VALUE`. */
export function parseIdentity(given: IdentityArguments): Identity {
  const { namespace, name } = parseObjectName(given.as, '--as', 'agents/support-bot');
  return {
    namespace,
    serviceAccount: name,
    groups: given.group,
    claims: Object.fromEntries(given.claim.map(parseClaim)),
  };
}

/** A value that reads as a JSON number, truth value or quoted text is one; anything else is text as it stands. */
function parseClaim(text: string): readonly [string, string | number | boolean] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new UsageError(`--claim: expected NAME=VALUE, found ${JSON.stringify(text)}`);
  const value = text.slice(equals + 1);
  return [text.slice(0, equals), parseScalar(value)];
}

function parseScalar(text: string): string | number | boolean {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string') return value;
  } catch {
    // Not JSON: the text itself.
  }
  return text;
}

/** `HOST:PORT`, `[::1]:PORT`, `:PORT` (all addresses: no host) or `PORT` (loopback); port 0 lets the system choose. */
export function parseAddress(text: string, option: string): { readonly host: string; readonly port: number } {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]*)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? Number.NaN);
  if (match === null || port > 65_535) {
    throw new UsageError(`${option}: expected HOST:PORT such as 127.0.0.1:5432, found ${JSON.stringify(text)}`);
  }
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port };
}

/** For options that may stand several times. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
