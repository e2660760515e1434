/** Notices changed manifests: the file system's events where they come, and a look at the files every two seconds where they do not. */
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ManifestsRead, readManifests } from './manifests.ts';

export interface ManifestWatch {
  readonly close: () => void;
}

const debounceMs = 60;
const pollMs = 2000;

/**
 * Calls `onChange` with what was read whenever it differs from `fingerprint` and then from the last call's. Calls never overlap.
 */
export function watchManifests(
  path: string,
  fingerprint: string,
  onChange: (read: ManifestsRead) => Promise<void>,
): ManifestWatch {
  let last = fingerprint;
  let closed = false;
  let running = false;
  let timer: NodeJS.Timeout | undefined;
  const schedule = (delayMs: number): void => {
    if (closed) return;
    clearTimeout(timer);
    timer = setTimeout(() => void look(), delayMs);
    timer.unref();
  };
  const look = async (): Promise<void> => {
    if (running) return schedule(debounceMs);
    running = true;
    let seen = last;
    try {
      const first = await readManifests(path);
      seen = first.fingerprint;
      if (closed || first.fingerprint === last) return;
      // Half-written files must not count: what is read must be the same twice.
      await sleep(debounceMs);
      const read = await readManifests(path);
      if (closed || read.fingerprint !== first.fingerprint) return;
      last = read.fingerprint;
      await onChange(read);
    } finally {
      running = false;
      schedule(seen === last ? pollMs : debounceMs);
    }
  };
  const watchers = [path, dirname(path)].flatMap((place) => openWatcher(place, () => schedule(debounceMs)));
  schedule(pollMs);
  return {
    close: () => {
      closed = true;
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** An editor replaces a file by another of its name, so the folder above is watched too. No watcher: polling finds it. */
function openWatcher(place: string, onEvent: () => void): FSWatcher[] {
  try {
    const watcher = watch(place, { persistent: false }, onEvent);
    watcher.on('error', () => watcher.close());
    return [watcher];
  } catch {
    return [];
  }
}
