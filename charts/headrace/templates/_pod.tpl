{{- /* The pod of the controller, the same in a DaemonSet and in a Deployment. */ -}}

{{- define "headrace.httpPort" -}}
{{- .Values.controller.hostNetwork | ternary .Values.controller.hostPort.ports.http .Values.controller.containerPort.http }}
{{- end -}}

{{- define "headrace.httpsPort" -}}
{{- .Values.controller.hostNetwork | ternary .Values.controller.hostPort.ports.https .Values.controller.containerPort.https }}
{{- end -}}

{{- /* Every flag with its text, as YAML; an empty text is a bare flag. */ -}}
{{- define "headrace.flags" -}}
{{- $flags := include "headrace.ownFlags" . | fromYaml }}
{{- range $name, $value := .Values.controller.extraArgs }}
{{- $_ := set $flags $name (include "headrace.text" $value) }}
{{- end }}
{{- toYaml $flags }}
{{- end -}}

{{- define "headrace.ownFlags" -}}
{{- $controller := .Values.controller }}
{{- $namespace := include "headrace.namespace" . }}
configmap: {{ $namespace }}/{{ include "headrace.controller" . }}
controller-class: {{ $controller.ingressClassResource.controllerValue | quote }}
{{- if include "headrace.narrow" . }}
# IngressClasses cannot be read without cluster-wide rights: ours is known by its name.
ingress-class: {{ $controller.ingressClassResource.name | quote }}
ingress-class-by-name: ""
{{- else }}
ingress-class: {{ $controller.ingressClass | quote }}
{{- if $controller.ingressClassByName }}
ingress-class-by-name: ""
{{- end }}
{{- end }}
election-id: {{ $controller.electionID | default (printf "%s-leader" (include "headrace.fullname" .)) | quote }}
http-port: {{ include "headrace.httpPort" . | quote }}
https-port: {{ include "headrace.httpsPort" . | quote }}
{{- range $name, $port := $controller.plainPort }}
{{- if $port }}
plain-{{ $name }}-port: {{ $port | quote }}
{{- end }}
{{- end }}
healthz-port: {{ $controller.metrics.port | quote }}
shutdown-grace-period: {{ $controller.shutdownGracePeriod | int | quote }}
{{- if ne (int $controller.hostPort.ports.https) 443 }}
{{- if include "headrace.onNode" . }}
public-https-port: {{ $controller.hostPort.ports.https | quote }}
{{- end }}
{{- end }}
{{- with include "headrace.publishedService" . }}
publish-service: {{ . }}
{{- end }}
{{- if .Values.shadow }}
shadow: ""
{{- end }}
{{- if $controller.watchIngressWithoutClass }}
watch-ingress-without-class: ""
{{- end }}
{{- if $controller.reportNodeInternalIp }}
report-node-internal-ip-address: ""
{{- end }}
{{- if $controller.disableLeaderElection }}
disable-leader-election: ""
{{- end }}
{{- with $controller.electionTTL }}
election-ttl: {{ . | quote }}
{{- end }}
{{- with $controller.healthCheckHost }}
healthz-host: {{ . | quote }}
{{- end }}
{{- if ne $controller.healthCheckPath "/healthz" }}
health-check-path: {{ $controller.healthCheckPath | quote }}
{{- end }}
{{- if $controller.scope.enabled }}
watch-namespace: {{ include "headrace.scopeNamespace" . }}
{{- else if $controller.scope.namespaceSelector }}
watch-namespace-selector: {{ $controller.scope.namespaceSelector | quote }}
{{- end }}
{{- with $controller.defaultTLSSecret }}
default-ssl-certificate: {{ . }}
{{- end }}
{{- if .Values.defaultBackend.existingService }}
default-backend-service: {{ .Values.defaultBackend.existingService }}
{{- else if .Values.defaultBackend.enabled }}
default-backend-service: {{ $namespace }}/{{ include "headrace.defaultBackend" . }}
{{- end }}
{{- if .Values.tcp }}
tcp-services-configmap: {{ $namespace }}/{{ include "headrace.fullname" . }}-tcp
{{- end }}
{{- if .Values.udp }}
udp-services-configmap: {{ $namespace }}/{{ include "headrace.fullname" . }}-udp
{{- end }}
{{- end -}}

{{- /* Ports of one protocol for a container: (list root map protocol). */ -}}
{{- define "headrace.streamPorts" -}}
{{- $root := index . 0 }}
{{- $protocol := index . 2 }}
{{- range $port, $_ := index . 1 }}
- name: {{ $port }}-{{ lower $protocol }}
  containerPort: {{ $port }}
  protocol: {{ $protocol }}
  {{- if include "headrace.hostPort" $root }}
  hostPort: {{ $port }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* The hooks, without the program of ingress-nginx's image: the controller itself does what that did. */ -}}
{{- define "headrace.lifecycle" -}}
{{- $hooks := .Values.controller.lifecycle }}
{{- if has "/wait-shutdown" (dig "preStop" "exec" "command" list $hooks) }}
{{- $hooks = omit $hooks "preStop" }}
{{- end }}
{{- toYaml $hooks }}
{{- end -}}

{{- define "headrace.securityContext" -}}
{{- $image := .Values.controller.image }}
{{- if .Values.controller.containerSecurityContext }}
{{- toYaml .Values.controller.containerSecurityContext }}
{{- else -}}
runAsNonRoot: {{ $image.runAsNonRoot }}
runAsUser: {{ $image.runAsUser }}
runAsGroup: {{ $image.runAsGroup }}
readOnlyRootFilesystem: {{ $image.readOnlyRootFilesystem }}
# nginx gets its one capability from its file, which a process may only do where this is allowed; it needs it below 1024.
{{- $ports := concat (list (include "headrace.httpPort" .) (include "headrace.httpsPort" .)) (keys .Values.tcp) (keys .Values.udp) }}
{{- range .Values.controller.plainPort }}{{ if . }}{{ $ports = append $ports . }}{{ end }}{{ end }}
{{- $lowest := 65535 }}
{{- range $ports }}{{ $lowest = min $lowest (int .) }}{{ end }}
allowPrivilegeEscalation: {{ lt $lowest 1024 }}
capabilities:
  drop: [ALL]
  add: [NET_BIND_SERVICE]
seccompProfile:
  {{- toYaml $image.seccompProfile | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "headrace.pod" -}}
{{- $controller := .Values.controller }}
{{- $onNode := include "headrace.hostPort" . -}}
metadata:
  labels:
    {{- include "headrace.labels" . | nindent 4 }}
    app.kubernetes.io/component: controller
    {{- with $controller.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $controller.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "headrace.serviceAccount" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
  terminationGracePeriodSeconds: {{ $controller.terminationGracePeriodSeconds }}
  dnsPolicy: {{ $controller.dnsPolicy | default ($controller.hostNetwork | ternary "ClusterFirstWithHostNet" "ClusterFirst") }}
  {{- with $controller.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $controller.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- with $controller.hostname }}
  hostname: {{ toYaml . }}
  {{- end }}
  {{- with $controller.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $controller.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- if $controller.shareProcessNamespace }}
  shareProcessNamespace: true
  {{- end }}
  securityContext:
    {{- merge (dict) $controller.podSecurityContext (dict "fsGroup" $controller.image.runAsGroup) | toYaml | nindent 4 }}
    {{- with $controller.sysctls }}
    sysctls:
      {{- range $name, $value := . }}
      - name: {{ $name }}
        value: {{ include "headrace.text" $value | quote }}
      {{- end }}
    {{- end }}
  {{- with $controller.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ $controller.containerName }}
      image: {{ include "headrace.controllerImage" . }}
      imagePullPolicy: {{ $controller.image.pullPolicy }}
      args:
        - run
        {{- include "headrace.arguments" (include "headrace.flags" . | fromYaml) | trim | nindent 8 }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: POD_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        {{- with $controller.extraEnvs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: http
          containerPort: {{ include "headrace.httpPort" . }}
          protocol: TCP
          {{- if $onNode }}
          hostPort: {{ $controller.hostPort.ports.http }}
          {{- end }}
        - name: https
          containerPort: {{ include "headrace.httpsPort" . }}
          protocol: TCP
          {{- if $onNode }}
          hostPort: {{ $controller.hostPort.ports.https }}
          {{- end }}
        {{- range $name, $port := $controller.plainPort }}
        {{- if $port }}
        - name: plain-{{ $name }}
          containerPort: {{ $port }}
          protocol: TCP
        {{- end }}
        {{- end }}
        - name: {{ $controller.metrics.portName }}
          containerPort: {{ $controller.metrics.port }}
          protocol: TCP
        {{- with include "headrace.streamPorts" (list . .Values.tcp "TCP") | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with include "headrace.streamPorts" (list . .Values.udp "UDP") | trim }}
        {{- . | nindent 8 }}
        {{- end }}
      startupProbe:
        {{- include "headrace.probe" (list $controller.startupProbe "/healthz" $controller.metrics.portName) | nindent 8 }}
      livenessProbe:
        {{- include "headrace.probe" (list $controller.livenessProbe "/healthz" $controller.metrics.portName) | nindent 8 }}
      # 200 once the first complete configuration is served, 503 as soon as the pod is told to end.
      readinessProbe:
        {{- include "headrace.probe" (list $controller.readinessProbe "/readyz" $controller.metrics.portName) | nindent 8 }}
      {{- with include "headrace.lifecycle" . | fromYaml }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml $controller.resources | nindent 8 }}
      securityContext:
        {{- include "headrace.securityContext" . | nindent 8 }}
      volumeMounts:
        - name: state
          mountPath: /var/lib/headrace
        - name: certificates
          mountPath: /var/lib/headrace/certificates
        - name: tmp
          mountPath: /tmp
        {{- with $controller.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with $controller.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: state
      {{- toYaml $controller.stateVolume | nindent 6 }}
    - name: certificates
      {{- toYaml $controller.certificatesVolume | nindent 6 }}
    - name: tmp
      emptyDir: {}
    {{- with $controller.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $controller.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.affinity }}
  affinity:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- if $controller.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- tpl (toYaml $controller.topologySpreadConstraints) $ | nindent 4 }}
  {{- else if eq $controller.kind "Deployment" }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "headrace.selector" $ | nindent 10 }}
          app.kubernetes.io/component: controller
    {{- end }}
  {{- end }}
{{- end -}}
