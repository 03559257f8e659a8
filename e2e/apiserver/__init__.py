"""Tests against a real kube-apiserver and etcd; there is no node."""
