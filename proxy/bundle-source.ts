/**
 * The bundles' volume: what the kubelet has put there, and when it changes. The kubelet writes a new folder and then moves the link
 * `..data` onto it, so what is read through one target of that link belongs together. Events tell at once, a look every two seconds tells
 * where they do not come.
 */
import { type FSWatcher, watch } from 'node:fs';
import { open, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundleFiles } from '#bundle/accept.ts';
import { BUNDLE_FILE, bundleFolder, KEY_SET_FILE } from '#bundle/config-map.ts';
import { MAX_BUNDLE_BYTES, MAX_KEY_SET_BYTES } from '#bundle/sign.ts';
import type { ConnectionName } from './world.ts';

export interface BundleSource {
  /** Resolves when the first look is done and what it found was handed over. */
  readonly ready: Promise<void>;
  readonly close: () => void;
}

const debounceMs = 10;
const pollMs = 2000;
const maxTries = 5;

/** Calls `onFiles` for each connection with what is there at first (also where nothing is), then whenever it differs. Calls never overlap. */
export function watchBundles(
  directory: string,
  connections: readonly ConnectionName[],
  onFiles: (connection: ConnectionName, files: BundleFiles) => void,
): BundleSource {
  const seen = new Map<string, string>();
  let closed = false;
  let running = false;
  let timer: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;
  const schedule = (delayMs: number): void => {
    if (closed) return;
    clearTimeout(timer);
    timer = setTimeout(() => void look(), delayMs);
    timer.unref();
  };
  const look = async (): Promise<void> => {
    if (running) return schedule(debounceMs);
    running = true;
    watcher ??= openWatcher(directory, () => schedule(debounceMs));
    try {
      for (const connection of connections) {
        const key = bundleFolder(connection.namespace, connection.name);
        const found = await readIfChanged(directory, key, seen.get(key));
        if (closed) return;
        if (found === undefined) continue;
        seen.set(key, found.mark);
        onFiles(connection, found.files);
      }
    } finally {
      running = false;
      schedule(pollMs);
    }
  };
  const ready = look();
  return {
    ready,
    close: () => {
      closed = true;
      clearTimeout(timer);
      watcher?.close();
    },
  };
}

interface Look {
  /** Equal marks: equal files. */
  readonly mark: string;
  readonly files: BundleFiles;
}

/** Reads both files of one delivery: where the link moves meanwhile, again. `undefined`: all is as `seen` says. */
async function readIfChanged(directory: string, name: string, seen: string | undefined): Promise<Look | undefined> {
  for (let attempt = 1; ; attempt++) {
    const target = await targetOf(directory);
    const folder = join(directory, target ?? '', name);
    const bundlePath = join(folder, BUNDLE_FILE);
    const keysPath = join(folder, KEY_SET_FILE);
    const mark = JSON.stringify([target, await markOf(bundlePath), await markOf(keysPath)]);
    if (mark === seen) return undefined;
    const bundle = await readBounded(bundlePath, MAX_BUNDLE_BYTES);
    const keys = await readBounded(keysPath, MAX_KEY_SET_BYTES);
    if (attempt < maxTries && (await targetOf(directory)) !== target) continue;
    return { mark, files: { bundle, keys: keys?.toString('utf8') } };
  }
}

async function targetOf(directory: string): Promise<string | undefined> {
  try {
    return await readlink(join(directory, '..data'));
  } catch {
    return undefined;
  }
}

async function markOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(path);
    return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch {
    return 'absent';
  }
}

/** At most one byte more than the bound, which is enough to see that it is broken. Whatever cannot be read is not there. */
async function readBounded(path: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const bytes = Buffer.alloc(Math.min(size, maxBytes + 1));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/** No watcher: the next look tries again. */
function openWatcher(directory: string, onEvent: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, { persistent: false }, onEvent);
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
