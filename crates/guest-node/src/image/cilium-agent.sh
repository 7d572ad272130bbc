#!/bin/sh
# In front of Cilium's agent: three settings that it writes are the machine's and not the node's, and one of them cannot
# be taken back. Files of the container's own lie over them, with what they hold.
set -eu
for name in kernel/timer_migration kernel/unprivileged_bpf_disabled net/core/bpf_jit_enable; do
  setting=/proc/sys/$name
  [ -e "$setting" ] || continue
  own=/run/$(echo "$name" | tr / _)
  cat "$setting" > "$own"
  mount --bind "$own" "$setting"
done
exec /usr/bin/cilium-agent.real "$@"
