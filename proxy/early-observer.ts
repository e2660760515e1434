/** Keeps what sessions report until the metrics library has loaded, then hands it over. */
import type { SessionObserver } from '#session/observer.ts';

export interface EarlyObserver {
  readonly observer: SessionObserver;
  /** Gives everything kept, and all that follows, to the real one. */
  readonly handOver: (real: SessionObserver) => void;
}

/** The few calls of the first milliseconds are kept in order. */
export function createEarlyObserver(): EarlyObserver {
  let real: SessionObserver | undefined;
  const kept: ((observer: SessionObserver) => void)[] = [];
  const pass = (call: (observer: SessionObserver) => void): void => {
    if (real === undefined) kept.push(call);
    else call(real);
  };
  return {
    observer: {
      statement: (decision, command, policy) => pass((to) => to.statement(decision, command, policy)),
      decisionSeconds: (seconds) => pass((to) => to.decisionSeconds(seconds)),
      upstreamSeconds: (seconds) => pass((to) => to.upstreamSeconds(seconds)),
      rows: (count) => pass((to) => to.rows(count)),
      bytes: (count) => pass((to) => to.bytes(count)),
      maskedColumns: (count) => pass((to) => to.maskedColumns(count)),
      parseCache: (result) => pass((to) => to.parseCache(result)),
      sessions: (delta) => pass((to) => to.sessions(delta)),
    },
    handOver: (observer) => {
      real = observer;
      for (const call of kept.splice(0)) call(observer);
    },
  };
}
