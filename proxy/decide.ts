import { Worker } from 'node:worker_threads';
import type { CatalogData } from '#sql/catalog.ts';
import type { TextDecision } from '#policy/decision.ts';
import type { DecisionInput, EffectivePolicy } from '#policy/effective-policy.ts';
import { judgeAnalysis, refuseText } from '#policy/judge-analysis.ts';
import type { WorkerAnswer, WorkerRequest } from './decision-worker.ts';

type DecideText = typeof import('#policy/decide.ts').decideText;

/** Texts from here on may take longer than the event loop can wait (measured: a 289 kB IN list parses for 258 ms). */
const LARGE_TEXT_LENGTH = 8 * 1024;
const DEADLINE_MS = 5_000;
/** The thread costs some 60 MB: it goes when nobody needs it. */
const IDLE_MS = 20_000;

export interface Decider {
  decide(input: DecisionInput): TextDecision | Promise<TextDecision>;
  close(): void;
}

interface Waiting {
  readonly input: DecisionInput;
  readonly resolve: (decision: TextDecision) => void;
}

/**
 * Decides ordinary texts at once, large ones in a thread with a deadline: past it the thread is killed and the text refused. One large
 * text at a time. Guardrails run here, on the facts the analysis found.
 */
export class ThreadedDecider implements Decider {
  readonly #queue: Waiting[] = [];
  #worker: Worker | undefined;
  /** The policy whose catalog and views the thread has. */
  #world: EffectivePolicy | undefined;
  #worldId = 0;
  #requestId = 0;
  #current: Waiting | undefined;
  #timer: NodeJS.Timeout | undefined;
  #decideText: DecideText | undefined;
  /** The analysis is a third of the program: the first connection need not wait for it. */
  readonly #loading = new Promise<DecideText>((resolve, reject) => {
    setImmediate(() => this.#load().then(resolve, reject));
  });

  decide(input: DecisionInput): TextDecision | Promise<TextDecision> {
    if (input.text.length < LARGE_TEXT_LENGTH) {
      return this.#decideText?.(input) ?? this.#loading.then((decideText) => decideText(input));
    }
    return new Promise((resolve) => {
      this.#queue.push({ input, resolve });
      this.#next();
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#stop();
  }

  async #load(): Promise<DecideText> {
    const { decideText } = await import('#policy/decide.ts');
    this.#decideText = decideText;
    return decideText;
  }

  #next(): void {
    if (this.#current !== undefined) return;
    const waiting = this.#queue.shift();
    clearTimeout(this.#timer);
    if (waiting === undefined) {
      this.#timer = setTimeout(() => this.#stop(), IDLE_MS);
      this.#timer.unref();
      return;
    }
    this.#current = waiting;
    this.#timer = setTimeout(() => this.#giveUp(), DEADLINE_MS);
    this.#send(waiting.input);
  }

  #send(input: DecisionInput): void {
    const { policy, text, session, parameterTypeOids, checkToken } = input;
    const worker = this.#start();
    if (this.#world !== policy) {
      this.#world = policy;
      this.#worldId++;
      post(worker, { kind: 'world', worldId: this.#worldId, catalog: catalogData(policy), access: policy.access });
    }
    this.#requestId++;
    post(worker, {
      kind: 'analyze',
      requestId: this.#requestId,
      worldId: this.#worldId,
      text,
      session,
      parameterTypeOids,
      checkToken,
      generation: policy.generation,
    });
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const file = import.meta.url.endsWith('.ts') ? './decision-worker.ts' : './decision-worker.js';
    const worker = new Worker(new URL(file, import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: 192 } });
    worker.unref();
    worker.on('message', (answer: WorkerAnswer) => {
      if (answer.requestId === this.#requestId) this.#answer(answer);
    });
    // Out of memory, a fault in the analysis: the text is refused, the next one gets a fresh thread.
    worker.on('error', () => {
      if (worker === this.#worker) this.#giveUp();
    });
    this.#worker = worker;
    return worker;
  }

  #answer(answer: WorkerAnswer): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    current.resolve(judgeAnalysis(current.input.text, answer.analysis, current.input.policy));
    this.#next();
  }

  #giveUp(): void {
    const current = this.#current;
    this.#current = undefined;
    this.#stop();
    current?.resolve(refuseText('too_complex', { subject: 'it takes too long to read' }, current.input.policy));
    this.#next();
  }

  #stop(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#world = undefined;
    void worker?.terminate();
  }
}

function post(worker: Worker, request: WorkerRequest): void {
  worker.postMessage(request);
}

/** The catalog without its look-ups, which the thread makes itself. */
function catalogData(policy: EffectivePolicy): CatalogData {
  const { serverVersionNum, databaseName, currentUser, schemas, relations, types, functions, operators, casts } =
    policy.catalog;
  return { serverVersionNum, databaseName, currentUser, schemas, relations, types, functions, operators, casts };
}
