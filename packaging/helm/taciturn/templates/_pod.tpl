{{- /* The pod, of the DaemonSet and of the Deployment. */ -}}
{{- define "taciturn.pod" -}}
{{- include "taciturn.check" . }}
{{- $v := .Values }}
{{- $secret := include "taciturn.secret" . }}
{{- $certificate := include "taciturn.certificate" . }}
{{- $probed := $v.metrics.public | ternary dict (dict "host" "127.0.0.1") }}
metadata:
  labels:
    {{- include "taciturn.labels" . | nindent 4 }}
    {{- with $v.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    # A pod is replaced when what it reads at the start has changed. Certificates are read again while it runs.
    checksum/config: {{ printf "%s %s" $v.config $v.auth.secret | sha256sum }}
    {{- with $v.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  # Relayed packets go straight to the node: a Service or a load balancer in between would lose the addresses of
  # clients, and has no rule for a thousand ports.
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  serviceAccountName: {{ include "taciturn.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add (int $v.drain.seconds) 180 }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- if $v.affinity }}
  affinity: {{ toYaml $v.affinity | nindent 4 }}
  {{- else if eq $v.kind "Deployment" }}
  affinity:
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{ include "taciturn.selector" . | nindent 14 }}
  {{- end }}
  securityContext: {{ toYaml $v.podSecurityContext | nindent 4 }}
  containers:
    - name: taciturn
      image: {{ include "taciturn.image" . }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      securityContext: {{ toYaml $v.securityContext | nindent 8 }}
      env:
        - name: NODE_IP
          valueFrom: { fieldRef: { fieldPath: status.hostIP } }
        {{- with $v.realm }}
        - { name: TACITURN_REALM, value: {{ . | quote }} }
        {{- end }}
        - { name: TACITURN_EXTERNAL_IP, value: {{ $v.externalIP | quote }} }
        {{- with $v.stunServers }}
        - { name: TACITURN_STUN_SERVERS, value: {{ join "," . | quote }} }
        {{- end }}
        - { name: TACITURN_RELAY_PORTS, value: {{ $v.relayPorts | quote }} }
        - name: TACITURN_LISTEN
          value: "udp:[::]:{{ int $v.ports.turn }},tcp:[::]:{{ int $v.ports.turn }}{{ if $certificate }},tls:[::]:{{ int $v.ports.turns }}{{ end }}"
        {{- if $secret }}
        - { name: TACITURN_AUTH_SECRET_FILES, value: /run/secrets/taciturn/turn-secret }
        {{- end }}
        {{- if $certificate }}
        - { name: TACITURN_TLS_CERT, value: /run/tls/tls.crt }
        - { name: TACITURN_TLS_KEY, value: /run/tls/tls.key }
        {{- end }}
        - { name: TACITURN_STATE_DIR, value: /var/lib/taciturn }
        # For where preStop did not run.
        - { name: TACITURN_PROCESS_STOP, value: "drain:{{ int $v.drain.seconds }}s" }
        {{- if $v.metrics.public }}
        - { name: TACITURN_ADMIN_METRICS, value: "{{ $v.metrics.address }}:{{ int $v.metrics.port }}" }
        - { name: TACITURN_ADMIN_PAGE, value: "token" }
        {{- else }}
        - { name: TACITURN_ADMIN_METRICS, value: "127.0.0.1:{{ int $v.metrics.port }}" }
        {{- end }}
        {{- if $v.fleet.url }}
        - name: TACITURN_FLEET_NODE
          valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
        - { name: TACITURN_FLEET_URL, value: {{ $v.fleet.url | quote }} }
        - { name: TACITURN_FLEET_PREFIX, value: {{ $v.fleet.prefix | quote }} }
        {{- if $v.fleet.existingSecret }}
        - { name: TACITURN_FLEET_PASSWORD_FILE, value: /run/secrets/fleet/password }
        {{- end }}
        {{- if $v.fleet.caSecret }}
        - { name: TACITURN_FLEET_CA_FILE, value: /run/fleet-ca/ca.crt }
        {{- end }}
        {{- end }}
        {{- if $v.config }}
        - { name: TACITURN_CONFIG, value: /etc/taciturn/taciturn.toml }
        {{- end }}
        {{- range $name, $value := $v.env }}
        - { name: {{ $name }}, value: {{ $value | quote }} }
        {{- end }}
      # With the network of the node these are ports of the node: no two servers are put on one.
      ports:
        - { name: turn-udp, containerPort: {{ int $v.ports.turn }}, hostPort: {{ int $v.ports.turn }}, protocol: UDP }
        - { name: turn-tcp, containerPort: {{ int $v.ports.turn }}, hostPort: {{ int $v.ports.turn }}, protocol: TCP }
        {{- if $certificate }}
        - { name: turns-tcp, containerPort: {{ int $v.ports.turns }}, hostPort: {{ int $v.ports.turns }}, protocol: TCP }
        {{- end }}
        - { name: metrics, containerPort: {{ int $v.metrics.port }}, hostPort: {{ int $v.metrics.port }}, protocol: TCP }
      startupProbe:
        httpGet: {{ merge (dict "path" "/live" "port" (int $v.metrics.port)) $probed | toJson }}
        periodSeconds: 2
        failureThreshold: 30
      livenessProbe:
        httpGet: {{ merge (dict "path" "/live" "port" (int $v.metrics.port)) $probed | toJson }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # While the server drains it is not ready, and its node leaves the Service and DNS.
      readinessProbe:
        httpGet: {{ merge (dict "path" "/ready" "port" (int $v.metrics.port)) $probed | toJson }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 1
      lifecycle:
        preStop:
          # Returns when the last call has ended, or after this time.
          exec: { command: [/usr/bin/turnctl, drain, --wait, --timeout, "{{ int $v.drain.seconds }}s"] }
      resources: {{ toYaml $v.resources | nindent 8 }}
      volumeMounts:
        - { name: state, mountPath: /var/lib/taciturn }
        {{- if $secret }}
        - { name: secret, mountPath: /run/secrets/taciturn, readOnly: true }
        {{- end }}
        {{- if $certificate }}
        - { name: tls, mountPath: /run/tls, readOnly: true }
        {{- end }}
        {{- if and $v.fleet.url $v.fleet.existingSecret }}
        - { name: fleet, mountPath: /run/secrets/fleet, readOnly: true }
        {{- end }}
        {{- if and $v.fleet.url $v.fleet.caSecret }}
        - { name: fleet-ca, mountPath: /run/fleet-ca, readOnly: true }
        {{- end }}
        {{- if $v.config }}
        - { name: config, mountPath: /etc/taciturn, readOnly: true }
        {{- end }}
        {{- with $v.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    - name: state
      {{- toYaml ($v.state | default (dict "emptyDir" dict)) | nindent 6 }}
    {{- if $secret }}
    - name: secret
      secret: { secretName: {{ $secret }}, defaultMode: 0440, items: [{ key: {{ empty $v.auth.existingSecret | ternary "turn-secret" $v.auth.key }}, path: turn-secret }] }
    {{- end }}
    {{- if $certificate }}
    - name: tls
      secret: { secretName: {{ $certificate }}, defaultMode: 0440 }
    {{- end }}
    {{- if and $v.fleet.url $v.fleet.existingSecret }}
    - name: fleet
      secret: { secretName: {{ $v.fleet.existingSecret }}, defaultMode: 0440, items: [{ key: {{ $v.fleet.key }}, path: password }] }
    {{- end }}
    {{- if and $v.fleet.url $v.fleet.caSecret }}
    - name: fleet-ca
      secret: { secretName: {{ $v.fleet.caSecret }}, defaultMode: 0444, items: [{ key: {{ $v.fleet.caKey }}, path: ca.crt }] }
    {{- end }}
    {{- if $v.config }}
    - name: config
      configMap: { name: {{ include "taciturn.name" . }} }
    {{- end }}
    {{- with $v.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}
