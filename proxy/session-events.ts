import type { AuditEvent, SessionContext } from '#audit/event.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { type Identity, identityUid } from '#policy/identity.ts';
import type { ConnectionDependencies } from './connection-ports.ts';
import { newTimedUid } from './timed-uid.ts';

/** A new session as its records name it. Without a policy the database is not known: ''. */
export function describeSession(
  identity: Identity,
  destination: ConnectionDependencies['destination'],
  policy: EffectivePolicy | undefined,
): SessionContext {
  return {
    sessionUid: newTimedUid(),
    actorUid: identityUid(identity),
    groups: identity.groups,
    hostname: destination.hostname,
    port: destination.port,
    database: policy?.connection.database ?? '',
  };
}

/** The record of a session's beginning, end or refusal (design §6), of now. A refused client may not have said who it is. */
export function sessionEvent(
  session: SessionContext | undefined,
  reason: 'session_start' | 'session_end' | 'session_refused',
  sqlstate: string,
  policy: EffectivePolicy | undefined,
): Extract<AuditEvent, { phase: 'session' }> {
  const policies = policy?.policies ?? [];
  const generation = policy?.recordedGeneration ?? policy?.generation ?? 0;
  return { phase: 'session', timeMs: Date.now(), session, reason, sqlstate, policies, generation };
}
