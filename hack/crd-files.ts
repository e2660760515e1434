import { stringify } from 'yaml';
import { databaseAccessPolicyDefinition, databaseConnectionDefinition } from '#crds/definition.ts';
import type { JsonMap } from '#crds/json.ts';

const HEADER = '# Made by hack/crds.ts from crds/kinds.ts; do not edit.\n';

/** The files that hold the CRDs, by path from the root: as they are, and as templates of the chart. */
export function crdFiles(): readonly (readonly [path: string, text: string])[] {
  return (
    [
      ['databaseconnections', databaseConnectionDefinition],
      ['databaseaccesspolicies', databaseAccessPolicyDefinition],
    ] as const
  ).flatMap(([plural, definition]) => [
    [`crds/postern.dev_${plural}.yaml`, HEADER + yaml(definition)] as const,
    [
      `charts/postern/templates/crds/postern.dev_${plural}.yaml`,
      chartTemplate(`${plural}.postern.dev`, definition),
    ] as const,
  ]);
}

function yaml(value: JsonMap): string {
  return stringify(value, { lineWidth: 120, aliasDuplicateObjects: false });
}

/** `{{` in a description is text, not a template; the metadata come from the values. */
function chartTemplate(name: string, definition: JsonMap): string {
  const { metadata: _, ...rest } = definition;
  const body = yaml(rest).replaceAll('{{', '{{ "{{" }}');
  return `{{- if .Values.crds.create }}
${HEADER}metadata:
  name: ${name}
  labels:
    {{- include "postern.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
${body}{{- end }}
`;
}
