/** Exponential delay with jitter: the n-th failure in a row waits between half and all of `min(cap, first * 2^(n-1))`. */
export interface BackOff {
  readonly firstMs: number;
  readonly capMs: number;
}

/** `failures` counts from 1; `random` gives [0, 1). Result in milliseconds. */
export function backOffMs(backOff: BackOff, failures: number, random: () => number = Math.random): number {
  const full = Math.min(backOff.capMs, backOff.firstMs * 2 ** Math.min(Math.max(failures, 1) - 1, 30));
  return full * (0.5 + random() / 2);
}

/** Resolves after `ms`, or at once when the signal is aborted; never rejects. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
