{{- define "oxmox.selector" -}}
app.kubernetes.io/name: oxmox
app.kubernetes.io/component: capi
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "oxmox.labels" -}}
{{ include "oxmox.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- /* The same two of another role: (list . "ccm"). */ -}}
{{- define "oxmox.selectorOf" -}}
app.kubernetes.io/name: oxmox
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
{{- end }}

{{- define "oxmox.labelsOf" -}}
{{- $root := index . 0 -}}
{{ include "oxmox.selectorOf" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | quote }}
{{- end }}

{{- /* The Secret with the manager's own credentials; empty: it has none. */ -}}
{{- define "oxmox.secret" -}}
{{- if .Values.proxmox.existingSecret -}}
{{ .Values.proxmox.existingSecret }}
{{- else if .Values.proxmox.url -}}
oxmox-capi-credentials
{{- end -}}
{{- end }}

{{- define "oxmox.hasRootCA" -}}
{{- if .Values.proxmox.existingSecret -}}
{{- if .Values.proxmox.existingSecretHasRootCA -}}yes{{- end -}}
{{- else if and .Values.proxmox.url .Values.proxmox.rootCA -}}yes
{{- end -}}
{{- end }}

{{- /* What a container may do that needs no rights. */ -}}
{{- define "oxmox.lockedDown" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
