{{- define "gridloom.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "gridloom.account" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "gridloom.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* What selects the pods of a component: {root, component}. Never changed: selectors of Deployments cannot be. */}}
{{- define "gridloom.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of all objects of a component: {root, component}. */}}
{{- define "gridloom.labels" -}}
{{ include "gridloom.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The entry `key` of .Values.workers over .Values.worker, as YAML: {root, key}. */}}
{{- define "gridloom.worker" -}}
{{- $defaults := deepCopy .root.Values.worker }}
{{- toYaml (mergeOverwrite $defaults (deepCopy (index .root.Values.workers .key | default dict))) }}
{{- end }}

{{- define "gridloom.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "gridloom.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Variables that say where the broker is and who this is for it: {root, auth}. */}}
{{- define "gridloom.connection" -}}
{{- $nats := .root.Values.nats }}
{{- $auth := .auth }}
- {name: GRIDLOOM_NATS, value: {{ $nats.url | quote }}}
- {name: GRIDLOOM_NAMESPACE, value: {{ .root.Values.installation | quote }}}
{{- range $name, $value := dict "TLS" $nats.tls "DOMAIN" $nats.domain "INBOX" $nats.inbox "TIMEOUT" $nats.timeout "USER" $auth.user }}
{{- if $value }}
- {name: GRIDLOOM_NATS_{{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- if or $nats.ca.secret $nats.ca.configMap }}
- {name: GRIDLOOM_NATS_CA, value: {{ printf "/etc/gridloom/ca/%s" $nats.ca.file | quote }}}
{{- end }}
{{- range $name, $key := dict "CREDS" $auth.creds "NKEY" $auth.nkey "PASSWORD_FILE" $auth.password "TOKEN_FILE" $auth.token "CERT" $auth.certificate "KEY" $auth.privateKey }}
{{- if $key }}
- {name: GRIDLOOM_NATS_{{ $name }}, value: {{ printf "/etc/gridloom/auth/%s" $key | quote }}}
{{- end }}
{{- end }}
- {name: GRIDLOOM_LISTEN, value: {{ printf "0.0.0.0:%d" (int .root.Values.port) | quote }}}
{{- end }}

{{/* Variables by their names, the component's own over those of all: {root, env}. */}}
{{- define "gridloom.env" -}}
{{- $logs := dict "GRIDLOOM_LOG" .root.Values.log "GRIDLOOM_LOG_FORMAT" .root.Values.logFormat }}
{{- range $name, $value := merge (deepCopy .env) .root.Values.env $logs }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{/* Secrets are mounted as directories, so that one that is changed is there without a new pod, and with the mode 288,
which is 0440 for readers of YAML of whatever age: {root, auth}. */}}
{{- define "gridloom.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .auth.secret }}
- {name: auth, mountPath: /etc/gridloom/auth, readOnly: true}
{{- end }}
{{- if or .root.Values.nats.ca.secret .root.Values.nats.ca.configMap }}
- {name: ca, mountPath: /etc/gridloom/ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "gridloom.volumes" -}}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- if .auth.secret }}
- name: auth
  secret: {secretName: {{ .auth.secret }}, defaultMode: 288}
{{- end }}
{{- with .root.Values.nats.ca }}
{{- if .secret }}
- name: ca
  secret: {secretName: {{ .secret }}, defaultMode: 288}
{{- else if .configMap }}
- name: ca
  configMap: {name: {{ .configMap }}}
{{- end }}
{{- end }}
{{- end }}

{{/* Its ports, and how it is asked whether it is well: {root, api}, the latter where it has one for others. */}}
{{- define "gridloom.probes" -}}
ports:
  - {name: metrics, containerPort: {{ .root.Values.port }}, protocol: TCP}
  {{- with .api }}
  - {name: api, containerPort: {{ .port }}, protocol: TCP}
  {{- end }}
# It answers as long as it lives, and no part of it stands still: a restart mends no broker.
livenessProbe:
  httpGet: {path: /live, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /ready, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}

{{/* Where pods go: {root, component, settings}. */}}
{{- define "gridloom.placement" -}}
{{- with .settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .settings.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .settings.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range .settings.topologySpreadConstraints }}
  - labelSelector:
      matchLabels: {{- include "gridloom.selector" $ | nindent 8 }}
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}
