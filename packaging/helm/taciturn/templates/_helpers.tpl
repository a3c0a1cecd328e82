{{- define "taciturn.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "taciturn.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "taciturn.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "taciturn.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "taciturn.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "taciturn.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "taciturn.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- /* The Secret with the shared secret, or nothing. */ -}}
{{- define "taciturn.secret" -}}
{{- if .Values.auth.existingSecret }}{{ .Values.auth.existingSecret }}
{{- else if .Values.auth.secret }}{{ include "taciturn.name" . }}-secret{{ end }}
{{- end }}

{{- define "taciturn.certificate" -}}
{{- if .Values.tls.existingSecret }}{{ .Values.tls.existingSecret }}
{{- else if .Values.tls.certManager.enabled }}{{ include "taciturn.name" . }}-tls{{ end }}
{{- end }}

{{- /* What no schema can say: one value against another. */ -}}
{{- define "taciturn.check" -}}
{{- $v := .Values }}
{{- if not $v.image.repository }}
{{- fail "image.repository is not set. It is REGISTRY/NAME of the image that `packaging/release` makes; see docs/kubernetes.md" }}
{{- end }}
{{- $credentials := list }}
{{- if $v.auth.existingSecret }}{{ $credentials = append $credentials "auth.existingSecret" }}{{ end }}
{{- if $v.auth.secret }}{{ $credentials = append $credentials "auth.secret" }}{{ end }}
{{- if $v.auth.configured }}{{ $credentials = append $credentials "auth.configured" }}{{ end }}
{{- if ne (len $credentials) 1 }}
{{- fail (printf "set one of auth.existingSecret, auth.secret and auth.configured; %s. Without it each pod would make a secret of its own" (empty $credentials | ternary "none is set" (printf "set are %s" (join ", " $credentials)))) }}
{{- end }}
{{- if and $v.tls.existingSecret $v.tls.certManager.enabled }}
{{- fail "set tls.existingSecret or tls.certManager.enabled, not both" }}
{{- end }}
{{- if and $v.tls.certManager.enabled (not $v.tls.certManager.issuerRef.name) }}
{{- fail "tls.certManager.enabled needs tls.certManager.issuerRef.name: the issuer that is to sign the certificate" }}
{{- end }}
{{- if and $v.tls.certManager.enabled (not $v.tls.certManager.dnsNames) (not $v.realm) }}
{{- fail "tls.certManager.enabled needs tls.certManager.dnsNames, or realm" }}
{{- end }}
{{- $scaled := or $v.autoscaling.hpa.enabled $v.autoscaling.keda.enabled }}
{{- if and $scaled (ne $v.kind "Deployment") }}
{{- fail "autoscaling needs kind: Deployment. A DaemonSet has one pod on each node" }}
{{- end }}
{{- if and $v.autoscaling.hpa.enabled $v.autoscaling.keda.enabled }}
{{- fail "set autoscaling.hpa.enabled or autoscaling.keda.enabled, not both: KEDA makes a HorizontalPodAutoscaler itself" }}
{{- end }}
{{- if and $v.autoscaling.keda.enabled (not $v.autoscaling.keda.prometheus) }}
{{- fail "autoscaling.keda.enabled needs autoscaling.keda.prometheus: the address of the Prometheus that has the metrics" }}
{{- end }}
{{- if and $v.metrics.serviceMonitor.enabled (not $v.metrics.public) }}
{{- fail "metrics.serviceMonitor.enabled needs metrics.public: true. Otherwise Prometheus cannot reach 127.0.0.1 of the nodes" }}
{{- end }}
{{- if and (hasPrefix "rediss" $v.fleet.url) (not $v.fleet.caSecret) }}
{{- fail "fleet.url is for TLS, which needs fleet.caSecret: the certificate of the authority" }}
{{- end }}
{{- range $name := list "TACITURN_AUTH_SECRET_FILES" "TACITURN_TLS_CERT" "TACITURN_TLS_KEY" "TACITURN_FLEET_URL" "TACITURN_ADMIN_METRICS" "TACITURN_ADMIN_PAGE" "TACITURN_LISTEN" "TACITURN_REALM" "TACITURN_EXTERNAL_IP" "TACITURN_RELAY_PORTS" "TACITURN_STUN_SERVERS" "TACITURN_CONFIG" "TACITURN_STATE_DIR" "TACITURN_PROCESS_STOP" }}
{{- if hasKey $v.env $name }}
{{- fail (printf "env.%s is set by other values of this chart: realm, externalIP, stunServers, relayPorts, ports, auth, tls, fleet, metrics, drain, config" $name) }}
{{- end }}
{{- end }}
{{- end }}
