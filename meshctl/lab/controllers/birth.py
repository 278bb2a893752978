"""What every new object gets from the API server: uid, time, generation; and what an update must not lose."""

from __future__ import annotations

from typing import Any

from meshctl.manifest import Body

_KEPT_METADATA = ("uid", "creationTimestamp", "ownerReferences", "deletionTimestamp", "finalizers")
_SYSTEM_ANNOTATIONS = ("ambient.istio.io/redirection",)
_FIXED_AT_BIRTH = {
    "Service": ("clusterIP", "clusterIPs"),
    "Pod": ("nodeName", "serviceAccountName", "restartPolicy"),
}


def born(body: Body, uid: str, now: str) -> Body:
    """Return a new object as the API server would keep it. `now` is RFC 3339, in UTC."""
    metadata = {**body["metadata"], "uid": uid, "creationTimestamp": now, "generation": 1}
    return defaulted({**_without_status(body), "metadata": metadata})


def updated(old: Body, new: Body) -> Body:
    """Return what `apply` of `new` makes of `old`: given labels, annotations and contents replace; identity stays."""
    was, given = old["metadata"], new["metadata"]
    metadata = {**given, **{name: was[name] for name in _KEPT_METADATA if name in was}}
    kept = {name: was["annotations"][name] for name in _SYSTEM_ANNOTATIONS if name in was.get("annotations", {})}
    if kept:
        metadata["annotations"] = {**(given.get("annotations") or {}), **kept}
    body = {**_without_status(new), "metadata": metadata}
    spec = _with_fixed_fields(old, new)
    if spec is not None:
        body["spec"] = spec
    same = all(old.get(part) == body.get(part) for part in (old.keys() | body.keys()) - {"metadata", "status"})
    metadata["generation"] = was.get("generation", 1) + (0 if same else 1)
    return {**body, "status": old["status"]} if "status" in old else body


def started_in(folder: str, body: Body) -> Body:
    """Return a Pod or Deployment whose containers start in `folder` unless they name a folder themselves."""
    spec = body.get("spec")
    if body["kind"] == "Pod" and isinstance(spec, dict):
        return {**body, "spec": _in_folder(folder, spec)}
    if body["kind"] == "Deployment" and isinstance(spec, dict):
        template = spec.get("template") or {}
        started = {**template, "spec": _in_folder(folder, template.get("spec") or {})}
        return {**body, "spec": {**spec, "template": started}}
    return body


def _in_folder(folder: str, spec: Body) -> Body:
    return {**spec, "containers": [{"workingDir": folder, **container} for container in spec.get("containers") or ()]}


def defaulted(body: Body) -> Body:
    """Return a new object with what the API server would fill in."""
    if body["kind"] != "Pod":
        return body
    return {**body, "spec": {"serviceAccountName": "default", "restartPolicy": "Always", **body["spec"]}}


def _with_fixed_fields(old: Body, new: Body) -> dict[str, Any] | None:
    spec = new.get("spec")
    fixed = _FIXED_AT_BIRTH.get(new["kind"], ())
    if not isinstance(spec, dict) or not fixed:
        return spec
    was = old.get("spec", {})
    return {**{name: was[name] for name in fixed if name in was}, **spec}


def _without_status(body: Body) -> Body:
    return {part: value for part, value in body.items() if part != "status"}
