/**
 * The templates that were injected and may still run, kept in one ConfigMap of the operator's namespace: from it replicas of any release know
 * what the others inject. A pod that is in none of them gets no credentials.
 */
import { asList, asMap, isMap, mapsOf, textOf } from './pod-json.ts';
import type { SidecarShape, SidecarTemplate } from './context.ts';
import { shapeOf, templateHash } from './sidecar.ts';

export const TEMPLATE_RECORD_NAME = 'postern-sidecar-templates';

/** Templates kept: those of this and the previous release, newest first, at most so many. */
const MAX_TEMPLATES = 16;

/**
 * The record with `current` as its first template. Of earlier releases only the latest stays. `record` is the `data` of the ConfigMap, or
 * undefined where there is none; entries that do not read are dropped.
 */
export function withTemplate(record: unknown, current: SidecarTemplate): readonly SidecarTemplate[] {
  const hash = templateHash(current);
  const known = recordedTemplates(record).filter((template) => templateHash(template) !== hash);
  const previous = known.find((template) => template.release !== current.release)?.release;
  const kept = known.filter(({ release }) => release === current.release || release === previous);
  return [{ ...current, shape: shapeOf(current) }, ...kept].slice(0, MAX_TEMPLATES);
}

/** Reads `data` of the ConfigMap. */
export function recordedTemplates(record: unknown): readonly SidecarTemplate[] {
  const text = textOf(asMap(record)['templates']);
  if (text === undefined) return [];
  try {
    return asList(JSON.parse(text)).flatMap((entry) => decodeTemplate(entry) ?? []);
  } catch {
    return [];
  }
}

/** `data` of the ConfigMap. */
export function recordData(templates: readonly SidecarTemplate[]): Readonly<Record<string, string>> {
  return { templates: JSON.stringify(templates) };
}

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'] as const;

function decodeTemplate(value: unknown): SidecarTemplate | undefined {
  if (!isMap(value)) return undefined;
  const [release, image, operatorUrl, logLevel, spoolSizeLimit] = [
    'release',
    'image',
    'operatorUrl',
    'logLevel',
    'spoolSizeLimit',
  ].map((field) => textOf(value[field]));
  const { collectorUrl } = value;
  const imagePullPolicy = PULL_POLICIES.find((policy) => policy === value['imagePullPolicy']);
  const resources = decodeResources(value['resources']);
  if (release === undefined || image === undefined || operatorUrl === undefined || logLevel === undefined)
    return undefined;
  if (spoolSizeLimit === undefined || typeof collectorUrl !== 'string') return undefined;
  if (imagePullPolicy === undefined || resources === undefined) return undefined;
  const shape = decodeShape(value['shape']);
  if (shape === undefined) return undefined;
  return { release, image, imagePullPolicy, operatorUrl, collectorUrl, logLevel, resources, spoolSizeLimit, shape };
}

function decodeResources(value: unknown): SidecarTemplate['resources'] | undefined {
  if (!isMap(value) || mapsOf([value['requests'], value['limits']]).length < 2) return undefined;
  const texts = (map: unknown): Readonly<Record<string, string>> =>
    Object.fromEntries(
      Object.entries(asMap(map)).flatMap(([name, amount]) =>
        typeof amount === 'string' ? [[name, amount] as const] : [],
      ),
    );
  return { requests: texts(value['requests']), limits: texts(value['limits']) };
}

/** Without it the template is of no use: the code of this release would make something else of it. */
function decodeShape(value: unknown): SidecarShape | undefined {
  const { container, volumes, bundleSource } = asMap(value);
  if (!isMap(container) || !isMap(bundleSource) || !Array.isArray(volumes)) return undefined;
  return { container, bundleSource, volumes: mapsOf(volumes) };
}
