"""The shop that the tests of a bare lab run in: a service of two pods, and a client."""

from tests.lab_for_tests import Lab

WHO = "netns/meshctl/who.py"

SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: shop}}
data: {{colour: blue}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec:
  selector: {{app: web}}
  ports:
  - {{name: http, port: 80, targetPort: http}}
  - {{name: other, port: 81, targetPort: 8080}}
---
apiVersion: v1
kind: Service
metadata: {{name: peers, namespace: shop}}
spec: {{clusterIP: None, selector: {{app: web}}, ports: [{{name: http, port: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: nobody, namespace: shop}}
spec: {{selector: {{app: nobody}}, ports: [{{port: 80}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        command: [python, {WHO}, "8080", $(VERSION)]
        env: [{{name: VERSION, value: one}}]
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /, port: http}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: shop}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  volumes:
  - {{name: settings, configMap: {{name: settings}}}}
  - {{name: scratch, emptyDir: {{}}}}
  - name: token
    projected: {{sources: [{{serviceAccountToken: {{path: token, audience: istio-ca}}}}]}}
  containers:
  - name: client
    command: [sleep, infinity]
    volumeMounts:
    - {{name: settings, mountPath: /etc/settings}}
    - {{name: scratch, mountPath: /scratch}}
    - {{name: token, mountPath: /var/run/secrets/tokens}}
  - name: second
    command: [sh, -c, "echo second is up; sleep infinity"]
    securityContext: {{runAsUser: 1337}}
"""


def ask(there: Lab, url: str, *options: str) -> str:
    return there.exec("client", "curl", "-sS", "--max-time", "5", *options, url, namespace="shop").out


def ready(there: Lab) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in there.pods("web", "shop")
        if any(
            one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", [])
        )
    ]
