#!/bin/sh
# What busybox's DHCP client has done on a lease.
[ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
case "$1" in
deconfig) ip -4 addr flush dev "$interface"; ip link set "$interface" up ;;
bound | renew)
  ip addr replace "$ip/${mask:-24}" dev "$interface" valid_lft "${lease:-forever}" preferred_lft "${lease:-forever}"
  for r in $router; do ip route replace default via "$r" dev "$interface"; break; done
  [ -n "$hostname" ] && [ ! -s /etc/hostname ] && hostname "$hostname"
  { for n in $dns; do echo "nameserver $n"; done; [ -n "$domain" ] && echo "search $domain"; } > /etc/resolv.conf
  ;;
esac
exit 0
