# One boot of a guest that has the seed in $1, as cloud-init's units would do it; says at the end
# what the guest was told. Its configuration is complete, so that nothing of a distribution's own
# (users, keys, package sources) is done.
set -eu
rm -rf /var/lib/cloud && mkdir -p /var/lib/cloud/seed/nocloud
cp "$1"/* /var/lib/cloud/seed/nocloud/
rm -rf /etc/cloud/cloud.cfg.d
cat > /etc/cloud/cloud.cfg <<'CFG'
datasource_list: [NoCloud, None]
cloud_init_modules: [write-files, set_hostname]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
system_info:
  distro: debian
  network: {renderers: [networkd, netplan, eni]}
  paths: {cloud_dir: /var/lib/cloud, run_dir: /run/cloud-init, templates_dir: /etc/cloud/templates}
CFG
# Only a fresh /sys shows the cards of this network namespace.
mount -t sysfs sysfs /sys
ip link add eth7 address bc:24:11:00:00:00 type veth peer name other
for stage in "init --local" init "modules --mode=config" "modules --mode=final"; do
    # shellcheck disable=SC2086
    /usr/bin/python3 -m cloudinit.cmd.main $stage >> /run/log 2>&1 || { cat /run/log >&2; exit 1; }
done
cat /run/told
ip -brief link show eth0 >> /run/log 2>&1 && echo "card eth0" || { cat /run/log >&2; cat /var/log/cloud-init.log >&2; }
find /etc/systemd /etc/netplan /etc/network -name '*cloud-init*' -exec cat {} + 2>> /run/log || true
