/**
 * Keeps the record of what is injected (operator/admission/template-record.ts) in its ConfigMap. A replica injects only once its own template
 * stands there: the other replicas, of whatever release, judge pods by it.
 */
import { isConflict } from '#kubernetes/api-error.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { Log } from '#kubernetes/log.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { Reflector, type ReflectorMetrics } from '#kubernetes/reflector.ts';
import { collectionPath } from '#kubernetes/resources.ts';
import type { SidecarTemplate } from './admission/context.ts';
import { templateHash } from './admission/sidecar.ts';
import { recordData, recordedTemplates, TEMPLATE_RECORD_NAME, withTemplate } from './admission/template-record.ts';
import { PART_OF, PART_OF_LABEL } from './signing-keys/stored-keys.ts';

export interface TemplateKeeperOptions {
  readonly client: ClusterClient;
  readonly namespace: string;
  readonly template: SidecarTemplate;
  readonly log: Log;
  readonly metrics?: ReflectorMetrics;
  /** Called when the record changes. Must not throw. */
  readonly onChange: () => void;
}

export class TemplateKeeper {
  readonly #options: TemplateKeeperOptions;
  readonly #reflector: Reflector;
  readonly #hash: string;

  constructor(options: TemplateKeeperOptions) {
    this.#options = options;
    this.#hash = templateHash(options.template);
    const { client, namespace, log, metrics } = options;
    this.#reflector = new Reflector({
      client,
      path: collectionPath({ apiVersion: 'v1', kind: 'ConfigMap', namespace }),
      fieldSelector: `metadata.name=${TEMPLATE_RECORD_NAME}`,
      onChange: () => options.onChange(),
      log,
      ...(metrics === undefined ? {} : { metrics }),
    });
  }

  start(): void {
    this.#reflector.start();
  }

  async stop(): Promise<void> {
    await this.#reflector.stop();
  }

  /** What was injected besides our own template and may still run. */
  previousTemplates(): readonly SidecarTemplate[] {
    return recordedTemplates(this.#data()).filter((template) => templateHash(template) !== this.#hash);
  }

  /** Whether our template stands in the record. */
  isRecorded(): boolean {
    return this.#holdsOurs(this.#data());
  }

  /** Writes it where it is missing. Throws where it cannot; a conflict with another replica is tried again. */
  async ensure(): Promise<void> {
    const { client, namespace, template, log } = this.#options;
    const reference = { apiVersion: 'v1', kind: 'ConfigMap', namespace, name: TEMPLATE_RECORD_NAME };
    for (let attempt = 1; ; attempt++) {
      const present = await client.find(reference);
      const before = present?.['data'];
      // Replicas of two releases must not write against each other: what is there in another order is there.
      if (this.#holdsOurs(before)) return;
      const data = recordData(withTemplate(before, template));
      try {
        if (present === undefined) await client.create(newRecord(namespace, data));
        else await client.replace({ ...present, data });
        log.info({ release: template.release }, 'the template of the sidecar is recorded');
        return;
      } catch (error) {
        if (!isConflict(error) || attempt >= 5) throw error;
      }
    }
  }

  #data(): unknown {
    return this.#reflector.get(`${this.#options.namespace}/${TEMPLATE_RECORD_NAME}`)?.['data'];
  }

  #holdsOurs(data: unknown): boolean {
    return recordedTemplates(data).some((template) => templateHash(template) === this.#hash);
  }
}

function newRecord(namespace: string, data: Readonly<Record<string, string>>): KubernetesObject {
  const labels = { [PART_OF_LABEL]: PART_OF };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: TEMPLATE_RECORD_NAME, namespace, labels }, data };
}
