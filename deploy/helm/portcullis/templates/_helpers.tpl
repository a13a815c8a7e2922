{{/* Names, labels and decisions that several templates share. */}}

{{- define "portcullis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Leaves room for "-telemetry". */}}
{{- define "portcullis.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "portcullis.selectorLabels" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "portcullis.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "portcullis.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "portcullis.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "portcullis.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "portcullis.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* "true" or nothing. Without an address of PostgreSQL the truth is kept in a file. */}}
{{- define "portcullis.sqlite" -}}
{{- if not .Values.secrets.databaseUrl.name }}true{{ end }}
{{- end }}

{{- define "portcullis.scheme" -}}
{{- ternary "https" "http" (ne .Values.tls.secretName "") }}
{{- end }}

{{/* Values that fit one by one and not together. */}}
{{- define "portcullis.validate" -}}
{{- if include "portcullis.sqlite" . }}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}
{{- fail "several replicas need PostgreSQL: name the Secret with its address in secrets.databaseUrl.name" }}
{{- end }}
{{- else if not .Values.secrets.secretKey.name }}
{{- fail "with PostgreSQL the root secret must be the same for every replica: name its Secret in secrets.secretKey.name" }}
{{- end }}
{{- if and .Values.sidecar.enabled (not .Values.sidecar.containers) }}
{{- fail "sidecar.enabled: the application's container is missing in sidecar.containers" }}
{{- end }}
{{- if and .Values.sidecar.containers (not .Values.sidecar.enabled) }}
{{- fail "sidecar.containers: they run only with sidecar.enabled=true" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.enabled: which hosts? (ingress.hosts)" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled: which Gateway? (httpRoute.parentRefs)" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling: minReplicas is more than maxReplicas" }}
{{- end }}
{{- end }}

{{/* The part of the configuration that follows from values; portcullis.toml is read after it. */}}
{{- define "portcullis.chartToml" -}}
# Written by the chart. portcullis.toml is read after it and wins.
{{- $at := "/etc/portcullis/secrets" }}
{{- if .Values.secrets.secretKey.name }}
secret_key_file = "{{ $at }}/secret_key"
{{- end }}

[server]
listen = ["{{ .Values.listenAddress }}:8000"]
telemetry_listen = "{{ .Values.listenAddress }}:9464"
shutdown_delay = "{{ int .Values.shutdown.delaySeconds }}s"
drain_timeout = "{{ int .Values.shutdown.drainSeconds }}s"
trusted_proxies = {{ .Values.trustedProxies | toJson }}
{{- if .Values.tls.secretName }}

[server.tls]
certificate = "/etc/portcullis/tls/tls.crt"
private_key = "/etc/portcullis/tls/tls.key"
{{- end }}

[database]
{{- if include "portcullis.sqlite" . }}
url = "sqlite:///var/lib/portcullis/portcullis.db"
{{- else }}
url_file = "{{ $at }}/database_url"
{{- end }}
{{- if .Values.secrets.databaseDirectUrl.name }}
direct_url_file = "{{ $at }}/database_direct_url"
{{- end }}
{{- if .Values.secrets.redisUrl.name }}

[redis]
url_file = "{{ $at }}/redis_url"
{{- end }}
{{- if .Values.secrets.mailUrl.name }}

[mail]
url_file = "{{ $at }}/mail_url"
{{- end }}
{{- if .Values.secrets.jwtSigningKey.name }}

[tokens.jwt]
signing_key_file = "{{ $at }}/jwt_signing_key"
{{- end }}
{{ end }}

{{/* The sources of the projected volume with all secrets; empty where there are none. */}}
{{- define "portcullis.secretSources" -}}
{{- $paths := dict "secretKey" "secret_key" "databaseUrl" "database_url" "databaseDirectUrl" "database_direct_url" "redisUrl" "redis_url" "mailUrl" "mail_url" "jwtSigningKey" "jwt_signing_key" }}
{{- range $value, $path := $paths }}
{{- with index $.Values.secrets $value }}
{{- if .name }}
- secret:
    name: {{ .name }}
    items: [{ key: {{ .key | quote }}, path: {{ $path }} }]
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.secrets.files }}
- secret:
    name: {{ .name }}
    {{- with .items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end }}
