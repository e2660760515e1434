{{- define "postern.collector.name" -}}postern-collector{{- end }}

{{- define "postern.collector.selectorLabels" -}}
app.kubernetes.io/name: postern
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: collector
{{- end }}

{{/* Where sidecars send their records: this release's collector, else the one that is named, else nowhere. */}}
{{- define "postern.collectorUrl" -}}
{{- if and .Values.collector.enabled .Values.collectorUrl -}}
{{- fail "collectorUrl: leave it empty where collector.enabled is true; sidecars then send to this release's collector" -}}
{{- else if .Values.collector.enabled -}}
https://{{ include "postern.collector.name" . }}.{{ .Release.Namespace }}.svc:8443
{{- else -}}
{{ .Values.collectorUrl }}
{{- end -}}
{{- end }}

{{/* The Secret with the collector's certificate: kept by the operator, unless certificates come from elsewhere. */}}
{{- define "postern.collector.tlsSecret" -}}
{{- if .Values.collector.tlsSecretName -}}
{{ .Values.collector.tlsSecretName }}
{{- else if eq .Values.certificates.mode "external" -}}
{{ fail "collector.tlsSecretName: name the Secret with tls.crt and tls.key for postern-collector.<namespace>.svc, of the CA in certificates.external" }}
{{- else -}}
postern-collector-tls
{{- end -}}
{{- end }}
