/** Notices changed manifests: the file system's events where they come, and a look at the files every two seconds where they do not. */
import { type BigIntStats, type FSWatcher, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isManifestName, type ManifestsRead, readManifests } from './manifests.ts';

export interface ManifestWatch {
  readonly close: () => void;
}

const debounceMs = 60;
/** Edits that go on and on are looked at all the same. */
const maxDebounceMs = 500;
const pollMs = 2000;

/**
 * Calls `onChange` with what was read whenever it differs from `fingerprint` and then from the last call's. Calls never overlap. Files
 * beside the manifests (an audit file that grows) neither cause a look nor put one off.
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
  let firstEventMs: number | undefined;
  const schedule = (delayMs: number): void => {
    if (closed) return;
    clearTimeout(timer);
    timer = setTimeout(() => void look(), delayMs);
    timer.unref();
  };
  const onEvent = (): void => {
    const now = performance.now();
    firstEventMs ??= now;
    if (!running) schedule(Math.min(debounceMs, Math.max(firstEventMs + maxDebounceMs - now, 0)));
  };
  const watchers = new PlaceWatchers(path, onEvent);
  const look = async (): Promise<void> => {
    running = true;
    firstEventMs = undefined;
    watchers.follow();
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
      schedule(seen === last && firstEventMs === undefined ? pollMs : debounceMs);
    }
  };
  schedule(pollMs);
  return {
    close: () => {
      closed = true;
      clearTimeout(timer);
      watchers.close();
    },
  };
}

/** Whether an event in the folder of manifests may mean a change of them; Kubernetes swaps all files by its link `..data`. */
export function concernsManifests(name: string | null): boolean {
  return name === null || name === '..data' || isManifestName(name);
}

/**
 * The watchers of one path, a file or a folder. An editor replaces a file by another of its name, and a folder may be a link that is
 * moved, so the folder above is watched too. Where no watcher can be had, polling finds the change.
 */
class PlaceWatchers {
  readonly #path: string;
  readonly #onEvent: () => void;
  readonly #above: FSWatcher | undefined;
  #own: FSWatcher | undefined;
  #ownIdentity = '';

  constructor(path: string, onEvent: () => void) {
    this.#path = path;
    this.#onEvent = onEvent;
    const name = basename(path);
    this.#above = openWatcher(dirname(path), (changed) => {
      if (changed === null || changed === name || changed === '..data') onEvent();
    });
    this.follow();
  }

  /** A watcher stays with the file or folder it was opened for: opens another where the path now leads elsewhere. */
  follow(): void {
    const found = statOf(this.#path);
    const identity = found === undefined ? '' : `${found.dev}:${found.ino}`;
    if (identity === this.#ownIdentity) return;
    this.#ownIdentity = identity;
    this.#own?.close();
    const isFolder = found?.isDirectory() === true;
    this.#own =
      found === undefined
        ? undefined
        : openWatcher(this.#path, (changed) => {
            if (!isFolder || concernsManifests(changed)) this.#onEvent();
          });
  }

  close(): void {
    this.#above?.close();
    this.#own?.close();
  }
}

function statOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

function openWatcher(place: string, onEvent: (name: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = watch(place, { persistent: false }, (_, name) => onEvent(name));
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
