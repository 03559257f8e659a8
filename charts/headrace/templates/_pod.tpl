{{- /* The pod of the controller, the same in a DaemonSet and in a Deployment. */ -}}

{{- define "headrace.httpPort" -}}
{{- .Values.controller.hostNetwork | ternary .Values.controller.hostPort.ports.http .Values.controller.containerPort.http }}
{{- end -}}

{{- define "headrace.httpsPort" -}}
{{- .Values.controller.hostNetwork | ternary .Values.controller.hostPort.ports.https .Values.controller.containerPort.https }}
{{- end -}}

{{- /* `name: value` of every flag; an empty value is a bare flag. */ -}}
{{- define "headrace.flags" -}}
{{- $controller := .Values.controller }}
{{- $namespace := include "headrace.namespace" . }}
{{- $own := printf "%s/%s" $namespace (include "headrace.controller" .) }}
configmap: {{ $own }}
controller-class: {{ $controller.ingressClassResource.controllerValue }}
{{- if include "headrace.narrow" . }}
# IngressClasses cannot be read without cluster-wide rights: ours is known by its name.
ingress-class: {{ $controller.ingressClassResource.name }}
ingress-class-by-name: ""
{{- else }}
ingress-class: {{ $controller.ingressClass }}
{{- end }}
election-id: {{ $controller.electionID | default (printf "%s-leader" (include "headrace.fullname" .)) }}
http-port: {{ include "headrace.httpPort" . | quote }}
https-port: {{ include "headrace.httpsPort" . | quote }}
healthz-port: {{ $controller.metrics.port | quote }}
shutdown-grace-period: {{ $controller.shutdownGracePeriod | int | quote }}
{{- if ne (int $controller.hostPort.ports.https) 443 }}
{{- if include "headrace.onNode" . }}
public-https-port: {{ $controller.hostPort.ports.https | quote }}
{{- end }}
{{- end }}
{{- if and $controller.publishService.enabled (or $controller.publishService.pathOverride (and $controller.service.enabled (eq $controller.service.type "LoadBalancer"))) }}
publish-service: {{ $controller.publishService.pathOverride | default $own }}
{{- end }}
{{- if and $controller.ingressClassByName (not (include "headrace.narrow" .)) }}
ingress-class-by-name: ""
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
{{- if $controller.scope.enabled }}
{{- if $controller.scope.namespaceSelector }}
watch-namespace-selector: {{ $controller.scope.namespaceSelector | quote }}
{{- else }}
watch-namespace: {{ include "headrace.scopeNamespace" . }}
{{- end }}
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
{{- range $name, $value := $controller.extraArgs }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- /* Ports of one protocol for a container: (list root map protocol). */ -}}
{{- define "headrace.streamPorts" -}}
{{- $root := index . 0 }}
{{- $protocol := index . 2 }}
{{- range $port, $_ := index . 1 }}
- name: {{ printf "%s%s-%s" $root.Values.portNamePrefix $port (lower $protocol) | trunc 15 }}
  containerPort: {{ $port }}
  protocol: {{ $protocol }}
  {{- if include "headrace.hostPort" $root }}
  hostPort: {{ $port }}
  {{- end }}
{{- end }}
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
    fsGroup: {{ $controller.image.runAsGroup }}
    {{- with $controller.podSecurityContext }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $controller.sysctls }}
    sysctls:
      {{- range $name, $value := . }}
      - name: {{ $name }}
        value: {{ $value | quote }}
      {{- end }}
    {{- end }}
  {{- with $controller.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: controller
      image: {{ include "headrace.image" (list . $controller.image .Chart.AppVersion) }}
      imagePullPolicy: {{ $controller.image.pullPolicy }}
      args:
        - run
        {{- range $name, $value := include "headrace.flags" . | fromYaml }}
        - --{{ $name }}{{ if ne $value "" }}={{ $value }}{{ end }}
        {{- end }}
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
        httpGet:
          path: /healthz
          port: {{ $controller.metrics.portName }}
        {{- toYaml $controller.startupProbe | nindent 8 }}
      livenessProbe:
        httpGet:
          path: /healthz
          port: {{ $controller.metrics.portName }}
        {{- toYaml $controller.livenessProbe | nindent 8 }}
      # 200 once the first complete configuration is served, 503 as soon as the pod is told to end.
      readinessProbe:
        httpGet:
          path: /readyz
          port: {{ $controller.metrics.portName }}
        {{- toYaml $controller.readinessProbe | nindent 8 }}
      {{- with $controller.lifecycle }}
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
