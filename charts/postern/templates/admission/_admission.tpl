{{/* Namespaces that are never looked at: the control plane's, the operator's, and those of webhook.excludedNamespaces. */}}
{{- define "postern.admission.namespaceSelector" -}}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ concat (list "kube-system" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toJson }}
{{- end }}

{{- define "postern.admission.labelled" -}}
objectSelector:
  matchLabels: { postern.dev/inject: "true" }
{{- end }}

{{/* The account that writes bundles. */}}
{{- define "postern.admission.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "postern.fullname" . }}
{{- end }}

{{/* A binding of the policy of the same name: (list $ "postern-name"). */}}
{{- define "postern.admission.binding" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels:
    {{- include "postern.labels" $root | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny]
{{- end }}
