#!/bin/sh
# In front of kube-proxy: the limit of tracked connections is the machine's, so the cluster's wish for it is set aside.
n=$#
while [ "$n" -gt 0 ]; do
  n=$((n - 1))
  a=$1
  shift
  case "$a" in
  --config=*)
    sed 's/^\( *maxPerCore:\).*/\1 0/' "${a#--config=}" > /tmp/kube-proxy.conf
    a=--config=/tmp/kube-proxy.conf
    ;;
  esac
  set -- "$@" "$a"
done
exec /usr/local/bin/kube-proxy.real "$@"
