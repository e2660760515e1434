/** What a PromQL expression asks for, by Prometheus' own grammar. Pure. */
import { parser } from '@prometheus-io/lezer-promql';

/** A metric that is asked for, with the labels it is chosen by and the functions around it, innermost first. */
export interface AskedMetric {
  readonly name: string;
  readonly labels: readonly string[];
  readonly functions: readonly string[];
}

export interface AskedMetrics {
  readonly metrics: readonly AskedMetric[];
  /** Labels that results are grouped by. */
  readonly grouping: readonly string[];
}

/** Throws where the expression is not PromQL. */
export function readPromql(expression: string): AskedMetrics {
  const metrics: AskedMetric[] = [];
  const grouping: string[] = [];
  const labels: string[][] = [];
  const text = ({ from, to }: { readonly from: number; readonly to: number }): string => expression.slice(from, to);
  parser.parse(expression).iterate({
    enter: (node) => {
      if (node.type.isError)
        throw new Error(`not PromQL at ${node.from}: ${expression.slice(node.from, node.from + 30)} in ${expression}`);
      if (node.name === 'VectorSelector') {
        const name = node.node.getChild('Identifier');
        const functions: string[] = [];
        for (let above = node.node.parent; above !== null; above = above.parent) {
          const called = above.getChild('FunctionIdentifier');
          if (above.name === 'FunctionCall' && called !== null) functions.push(text(called));
        }
        const own: string[] = [];
        labels.push(own);
        metrics.push({ name: name === null ? '' : text(name), labels: own, functions });
      }
      if (node.name === 'LabelName') {
        if (node.node.parent?.name === 'GroupingLabels') grouping.push(text(node));
        else labels.at(-1)?.push(text(node));
      }
    },
  });
  return { metrics, grouping };
}
