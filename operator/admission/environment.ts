/** What the agent's containers get: the environment that every PostgreSQL client reads. No password is in it, since there is none. */
import type { RequestedConnection } from './requested-connections.ts';
import { asList, isMap, type Json, type PlacedContainer, type PodRefusal, textOf } from './pod-json.ts';

export interface ConnectionEndpoint extends RequestedConnection {
  /** Of the connection; of one that does not exist yet the connection's own name. */
  readonly database: string;
}

const HOST = '127.0.0.1';

/**
 * `PGHOST` and so on for the first connection, `<NAME>_DATABASE_URL` for each. Of connections with the same name the first has the short
 * form, and the others are `<NAMESPACE>_<NAME>_DATABASE_URL`.
 */
export function agentEnvironment(
  endpoints: readonly ConnectionEndpoint[],
  serviceAccount: string,
): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  const urlOf = ({ port, database }: ConnectionEndpoint): string =>
    `postgresql://${encodeURIComponent(serviceAccount)}@${HOST}:${port}/${encodeURIComponent(database)}?sslmode=disable`;
  const [first] = endpoints;
  if (first === undefined) return variables;
  variables.set('PGHOST', HOST);
  variables.set('PGPORT', String(first.port));
  variables.set('PGDATABASE', first.database);
  variables.set('PGUSER', serviceAccount);
  variables.set('PGSSLMODE', 'disable');
  variables.set('DATABASE_URL', urlOf(first));
  for (const endpoint of endpoints) {
    const short = variableName(endpoint.name);
    const name = variables.has(short) ? variableName(`${endpoint.namespace}-${endpoint.name}`) : short;
    variables.set(name, urlOf(endpoint));
  }
  return variables;
}

/** Upper case with `_`; a digit cannot come first in a shell. */
function variableName(name: string): string {
  return `${name
    .replace(/^(?=[0-9])/, '_')
    .toUpperCase()
    .replaceAll('-', '_')}_DATABASE_URL`;
}

export type ContainerEnvironment =
  | { readonly kind: 'complete'; readonly env: readonly unknown[] }
  | { readonly kind: 'refused'; readonly refusals: readonly PodRefusal[] };

/** The container's own entries, then those that it lacks. One that says something else is refused, never replaced. */
export function completeEnvironment(
  { path, name, container }: PlacedContainer,
  variables: ReadonlyMap<string, string>,
): ContainerEnvironment {
  const own = asList(container['env']);
  const present = new Set<string>();
  const refusals: PodRefusal[] = [];
  for (const entry of own) {
    const variable = isMap(entry) ? textOf(entry['name']) : undefined;
    const wanted = variable === undefined ? undefined : variables.get(variable);
    if (!isMap(entry) || variable === undefined || wanted === undefined) continue;
    present.add(variable);
    if (entry['valueFrom'] === undefined && entry['value'] === escaped(wanted)) continue;
    refusals.push({
      reason: 'EnvironmentConflict',
      message: `${path} (${name}): ${variable} is set to something else than ${wanted}; remove it, the sidecar is the way to the database`,
    });
  }
  if (refusals.length > 0) return { kind: 'refused', refusals };
  const missing = [...variables].filter(([variable]) => !present.has(variable));
  const added = missing.map(([variable, value]): Json => ({ name: variable, value: escaped(value) }));
  return { kind: 'complete', env: [...own, ...added] };
}

/** Kubernetes expands `$(NAME)` in values; `$$` is a dollar. */
function escaped(value: string): string {
  return value.replaceAll('$(', '$$$$(');
}
