{{- /* Names and labels, as ingress-nginx built its own. */ -}}

{{- define "headrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "headrace.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "headrace.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "headrace.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end -}}

{{- define "headrace.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
{{- end -}}

{{- define "headrace.controller" -}}
{{- printf "%s-%s" (include "headrace.fullname" . | trunc 52 | trimSuffix "-") .Values.controller.name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "headrace.defaultBackend" -}}
{{- printf "%s-%s" (include "headrace.fullname" . | trunc 49 | trimSuffix "-") .Values.defaultBackend.name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "headrace.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "headrace.fullname" .) "default") }}
{{- end -}}

{{- define "headrace.selector" -}}
app.kubernetes.io/name: {{ include "headrace.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headrace.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "headrace.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "headrace.name" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* metadata of an object of the controller: (list root name-suffix labels annotations). */ -}}
{{- define "headrace.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "headrace.controller" $root }}{{ index . 1 }}
namespace: {{ include "headrace.namespace" $root }}
labels:
  {{- include "headrace.labels" $root | nindent 2 }}
  app.kubernetes.io/component: controller
  {{- with merge (dict) (index . 2 | default dict) $root.Values.controller.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with index . 3 }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The name of an image: (list root image default-tag). */ -}}
{{- define "headrace.image" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- $registry := $root.Values.global.image.registry | default $image.registry }}
{{- $image.repository | default (list $registry $image.image | compact | join "/") }}:{{ $image.tag | default (index . 2) }}
{{- with $image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{- define "headrace.controllerImage" -}}
{{- $image := include "headrace.image" (list . .Values.controller.image .Chart.AppVersion) }}
{{- if or (contains "ingress-nginx/controller" $image) (hasPrefix "registry.k8s.io/" $image) }}
{{- fail (printf "%s is of ingress-nginx: remove controller.image and global.image.registry from your values, or name the image of Headrace there" $image) }}
{{- end }}
{{- $image }}
{{- end -}}

{{- /* A value as text. Helm reads whole numbers as floating point: 31536000 must not become 3.1536e+07. */ -}}
{{- define "headrace.text" -}}
{{- if kindIs "invalid" . }}
{{- else if and (kindIs "float64" .) (eq . (floor .)) }}
{{- int64 . }}
{{- else }}
{{- toString . }}
{{- end }}
{{- end -}}

{{- /* Flags of a container from a map: an empty value is a bare flag. */ -}}
{{- define "headrace.arguments" -}}
{{- range $name, $value := . }}
{{- $text := include "headrace.text" $value }}
- {{ list (printf "--%s" $name) $text | compact | join "=" | quote }}
{{- end }}
{{- end -}}

{{- define "headrace.scopeNamespace" -}}
{{- .Values.controller.scope.namespace | default (include "headrace.namespace" .) }}
{{- end -}}

{{- /* "true" where one namespace is served and no right reaches further. */ -}}
{{- define "headrace.narrow" -}}
{{- if and .Values.rbac.scope .Values.controller.scope.enabled }}true{{ end }}
{{- end -}}

{{- /* namespace/name of the Service whose addresses go into the status of Ingresses, or nothing. */ -}}
{{- define "headrace.publishedService" -}}
{{- $publish := .Values.controller.publishService }}
{{- $service := .Values.controller.service }}
{{- $own := printf "%s/%s" (include "headrace.namespace" .) (include "headrace.controller" .) }}
{{- if not $publish.enabled }}
{{- else if $publish.pathOverride }}
{{- $publish.pathOverride }}
{{- else if not $service.enabled }}
{{- else if $service.external.enabled }}
{{- if eq $service.type "LoadBalancer" }}{{ $own }}{{ end }}
{{- else if and $service.internal.enabled (eq ($service.internal.type | default $service.type) "LoadBalancer") }}
{{- $own }}-internal
{{- end }}
{{- end -}}

{{- /* spec of a HorizontalPodAutoscaler: (list name-of-deployment scaling more-metrics). */ -}}
{{- define "headrace.autoscaler" -}}
{{- $scaling := index . 1 -}}
scaleTargetRef:
  apiVersion: apps/v1
  kind: Deployment
  name: {{ index . 0 }}
minReplicas: {{ $scaling.minReplicas }}
maxReplicas: {{ $scaling.maxReplicas }}
metrics:
  {{- range $resource, $percent := dict "cpu" $scaling.targetCPUUtilizationPercentage "memory" $scaling.targetMemoryUtilizationPercentage }}
  {{- if $percent }}
  - type: Resource
    resource:
      name: {{ $resource }}
      target:
        type: Utilization
        averageUtilization: {{ $percent }}
  {{- end }}
  {{- end }}
  {{- with index . 2 }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $scaling.behavior }}
behavior:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* A probe, its way of asking from the chart: (list values path port). */ -}}
{{- define "headrace.probe" -}}
httpGet:
  path: {{ index . 1 }}
  port: {{ index . 2 }}
{{ omit (index . 0) "httpGet" | toYaml }}
{{- end -}}

{{- define "headrace.hasDisruptionBudget" -}}
{{- $controller := .Values.controller }}
{{- if eq $controller.kind "Deployment" }}
{{- if gt (int ($controller.autoscaling.enabled | ternary $controller.autoscaling.minReplicas $controller.replicaCount)) 1 }}true{{ end }}
{{- end }}
{{- end -}}

{{- /* "true" where ports of the node lead to pods that have a network of their own. */ -}}
{{- define "headrace.hostPort" -}}
{{- $controller := .Values.controller }}
{{- $wanted := $controller.hostPort.enabled }}
{{- if kindIs "invalid" $wanted }}
{{- $wanted = and (eq $controller.kind "DaemonSet") (eq $controller.service.type "ClusterIP") }}
{{- end }}
{{- if and $wanted (not $controller.hostNetwork) }}true{{ end }}
{{- end -}}

{{- /* "true" where pods take ports of their node. */ -}}
{{- define "headrace.onNode" -}}
{{- if or .Values.controller.hostNetwork (include "headrace.hostPort" .) }}true{{ end }}
{{- end -}}
