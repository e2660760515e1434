/** A folder that changes as a kubelet's projected volume does: a new folder is written, then the link `..data` is moved onto it. */
import { mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export class ProjectedVolume {
  readonly directory: string;
  #count = 0;
  #current: string | undefined;
  #files: Readonly<Record<string, Uint8Array | string>> = {};

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async create(): Promise<ProjectedVolume> {
    const volume = new ProjectedVolume(await mkdtemp(join(tmpdir(), 'postern-volume-')));
    await volume.#publish({});
    return volume;
  }

  /** Adds or replaces files, by path within the volume; `undefined` takes one away. The others stay. */
  async deliver(changes: Readonly<Record<string, Uint8Array | string | undefined>>): Promise<void> {
    const next: Record<string, Uint8Array | string> = { ...this.#files };
    for (const [path, content] of Object.entries(changes)) {
      if (content === undefined) delete next[path];
      else next[path] = content;
    }
    await this.#publish(next);
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true });
  }

  async #publish(files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
    const target = `..2026_11_23_${this.#count++}`;
    await mkdir(join(this.directory, target));
    for (const [path, content] of Object.entries(files)) {
      const place = join(this.directory, target, path);
      await mkdir(dirname(place), { recursive: true });
      await writeFile(place, content);
    }
    await symlink(target, join(this.directory, '..data_tmp'));
    await rename(join(this.directory, '..data_tmp'), join(this.directory, '..data'));
    await this.#linkTop(files);
    if (this.#current !== undefined) await rm(join(this.directory, this.#current), { recursive: true });
    this.#current = target;
    this.#files = files;
  }

  async #linkTop(files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
    const wanted = new Set(Object.keys(files).map((path) => path.split('/')[0] ?? ''));
    const present = new Set((await readdir(this.directory)).filter((name) => !name.startsWith('..')));
    for (const name of wanted) {
      if (!present.has(name)) await symlink(join('..data', name), join(this.directory, name));
    }
    for (const name of present) if (!wanted.has(name)) await rm(join(this.directory, name));
  }
}
