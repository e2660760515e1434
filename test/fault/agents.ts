/** Agents at full speed: each statement carries a mark of its own, by which it is found in the server's log and in the record. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/** As it stands in a statement, and nowhere else. */
export const MARK = /'(f\d+-\d+-\d+)'/g;

export class Agents {
  /** Statements that were answered, by pod. */
  readonly answered = new Map<number, number>();
  /** By pod and SQLSTATE, or the code of the connection's error. */
  readonly failed = new Map<string, number>();
  readonly #running: Promise<void>[] = [];
  #isStopping = false;

  start(pod: number, agent: number, port: number): void {
    this.#running.push(this.#run(pod, agent, port));
  }

  failures(pod: number, code: string): number {
    return this.failed.get(`pod ${pod} ${code}`) ?? 0;
  }

  answers(pod: number): number {
    return this.answered.get(pod) ?? 0;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running);
  }

  async #run(pod: number, agent: number, port: number): Promise<void> {
    let count = 0;
    while (!this.#isStopping) {
      const client = new pg.Client({ host: '127.0.0.1', port, user: 'x', database: 'x', password: 'x' });
      client.on('error', () => undefined);
      try {
        await client.connect();
        while (!this.#isStopping) {
          count++;
          await this.#ask(client, pod, `SELECT 'f${pod}-${agent}-${count}' AS mark, count(*) FROM items`);
        }
      } catch (error) {
        this.#fail(pod, error);
        await sleep(100);
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }

  async #ask(client: pg.Client, pod: number, text: string): Promise<void> {
    try {
      await client.query(text);
      this.answered.set(pod, this.answers(pod) + 1);
    } catch (error) {
      // Refused, and the session goes on.
      if (codeOf(error) !== '58030') throw error;
      this.#fail(pod, error);
      await sleep(20);
    }
  }

  #fail(pod: number, error: unknown): void {
    const key = `pod ${pod} ${codeOf(error)}`;
    this.failed.set(key, (this.failed.get(key) ?? 0) + 1);
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : 'ended';
}
