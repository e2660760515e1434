/** Reported parameters that no statement may change: they say how bytes are read and who is asking. */
const PINNED = [
  'client_encoding',
  'server_encoding',
  'standard_conforming_strings',
  'integer_datetimes',
  'session_authorization',
  'is_superuser',
];

/** The values that the session is held to: what the server reported of these parameters, and what the gate's reading of text depends on. */
export function pinnedParameters(parameters: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const pinned = new Map<string, string>([
    ['client_encoding', 'UTF8'],
    ['standard_conforming_strings', 'on'],
  ]);
  for (const name of PINNED) {
    const value = parameters.get(name);
    if (value !== undefined && !pinned.has(name)) pinned.set(name, value);
  }
  return pinned;
}
