import { readFileSync } from 'node:fs';
import type { MetricObjectWithValues, MetricValue, Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { createCollectorMetrics } from '#collector/metrics.ts';
import { createOperatorMetrics } from '#operator/metrics.ts';
import { createMetrics } from '#proxy/metrics.ts';
import { readPromql } from './promql.ts';
import { CHART, renderChart } from './rendered-chart.ts';

/** What Prometheus and its operator add to each series. */
const OF_THE_TARGET = ['namespace', 'pod', 'service', 'job', 'instance', 'container'];

interface Known {
  readonly type: string;
  readonly labels: readonly string[];
}

const proxy = createMetrics();
proxy.measureAudit(() => ({ spoolBytes: 0, lagSeconds: 0 }));
const operator = createOperatorMetrics();
operator.measure(() => ({ certificateEndsAtMs: undefined, nowMs: 0, queueDepth: 0 }));
const registries: readonly Registry[] = [proxy.registry, operator.registry, createCollectorMetrics(() => 0).registry];

/** The series of our three roles, by name. */
function knownMetrics(): ReadonlyMap<string, Known> {
  const known = new Map<string, Known>([['up', { type: 'gauge', labels: [] }]]);
  for (const registry of registries) {
    for (const { name, type, labelNames } of metricsOf(registry)) {
      if (String(type) !== 'histogram') known.set(name, { type: String(type), labels: labelNames });
      else
        for (const suffix of ['bucket', 'sum', 'count'])
          known.set(`${name}_${suffix}`, { type: 'counter', labels: [...labelNames, 'le'] });
    }
  }
  return known;
}

function metricsOf(registry: Registry) {
  return registry
    .getMetricsAsArray()
    .map(
      (metric) => metric as MetricObjectWithValues<MetricValue<string>> & { readonly labelNames: readonly string[] },
    );
}

interface Asked {
  readonly where: string;
  readonly expression: string;
}

interface RuleGroup {
  readonly rules: readonly {
    readonly alert: string;
    readonly expr: string;
    readonly annotations: Readonly<Record<string, string>>;
  }[];
}

async function alerts(): Promise<readonly RuleGroup['rules'][number][]> {
  const rendered = await renderChart(
    'anywhere',
    'monitoring.prometheusRule.enabled=true',
    'collector={"enabled":true,"s3":{"bucket":"records"}}',
  );
  const rules = rendered.filter(({ kind }) => kind === 'PrometheusRule');
  return rules.flatMap((rule) =>
    (rule['spec'] as { readonly groups: readonly RuleGroup[] }).groups.flatMap((group) => group.rules),
  );
}

interface Panel {
  readonly title?: string;
  readonly targets?: readonly { readonly expr?: string }[];
  readonly panels?: readonly Panel[];
}

function expressionsOf({ title = '', targets = [], panels = [] }: Panel): readonly Asked[] {
  const own = targets.flatMap(({ expr }) =>
    expr === undefined ? [] : [{ where: `panel ${title}`, expression: expr }],
  );
  return [...own, ...panels.flatMap(expressionsOf)];
}

/** Grafana puts a duration and a pattern in these places. */
const filledIn = (expression: string): string =>
  expression.replaceAll('$__rate_interval', '5m').replaceAll('$namespace', 'agents');

const dashboard = JSON.parse(readFileSync(`${CHART}/dashboards/postern.json`, 'utf8')) as Panel;
const asked: readonly Asked[] = [
  ...(await alerts()).map(({ alert, expr }) => ({ where: `alert ${alert}`, expression: expr })),
  ...expressionsOf(dashboard).map(({ where, expression }) => ({ where, expression: filledIn(expression) })),
];

describe('what alerts and panels ask Prometheus', () => {
  test('there are some of each', () => {
    expect(asked.filter(({ where }) => where.startsWith('alert')).length).toBeGreaterThan(15);
    expect(asked.filter(({ where }) => where.startsWith('panel')).length).toBeGreaterThan(20);
  });

  test.each(asked.map(({ where, expression }) => [where, expression] as const))(
    '%s: is PromQL over metrics that exist, by labels that they have: %s',
    (_, expression) => {
      const known = knownMetrics();
      const { metrics, grouping } = readPromql(expression);
      expect(metrics).not.toEqual([]);
      for (const { name, labels, functions } of metrics) {
        const metric = known.get(name);
        expect([name, metric !== undefined]).toEqual([name, true]);
        const allowed = [...OF_THE_TARGET, ...(metric?.labels ?? [])];
        expect([...labels, ...grouping].filter((label) => !allowed.includes(label))).toEqual([]);
        const isCounted = ['rate', 'increase', 'irate'].includes(functions[0] ?? '');
        expect([name, isCounted]).toEqual([name, metric?.type === 'counter']);
        expect([name, functions.includes('histogram_quantile')]).toEqual([name, name.endsWith('_bucket')]);
      }
    },
  );

  test('each alert says what is wrong and what it means for agents or records', async () => {
    for (const { alert, annotations } of await alerts())
      expect([alert, Object.keys(annotations).toSorted()]).toEqual([alert, ['description', 'summary']]);
  });
});
