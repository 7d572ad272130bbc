// go-proxmox leads a VM through its life: create, configure, start, snapshot, list, delete.
//
// Usage: go-proxmox URL CA-FILE TOKEN-ID SECRET
package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	proxmox "github.com/luthermonson/go-proxmox"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(ctx context.Context, url, ca, id, secret string) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := proxmox.NewClient(url+"/api2/json", proxmox.WithRootCAs(roots), proxmox.WithAPIToken(id, secret))

	version, err := client.Version(ctx)
	if err != nil {
		return fmt.Errorf("version: %w", err)
	}
	if version.Release == "" {
		return fmt.Errorf("version without a release: %+v", version)
	}
	nodes, err := client.Nodes(ctx)
	if err != nil || len(nodes) != 3 {
		return fmt.Errorf("nodes: %d of 3, %w", len(nodes), err)
	}
	node, err := client.Node(ctx, "pve1")
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	cluster, err := client.Cluster(ctx)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	vmid, err := cluster.NextID(ctx)
	if err != nil {
		return fmt.Errorf("next id: %w", err)
	}
	option := func(name string, value any) proxmox.VirtualMachineOption {
		return proxmox.VirtualMachineOption{Name: name, Value: value}
	}

	task, err := node.NewVirtualMachine(ctx, vmid,
		option("name", "foreign"), option("memory", 512), option("cores", 1), option("pool", "kubernetes"),
		option("scsihw", "virtio-scsi-single"), option("scsi0", "shared:1,format=qcow2"), option("net0", "virtio,bridge=vmbr0"))
	if err := done("create", ctx, task, err); err != nil {
		return err
	}
	vm, err := node.VirtualMachine(ctx, vmid)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if vm.Name != "foreign" || !vm.IsStopped() || len(vm.VirtualMachineConfig.SCSIs) == 0 {
		return fmt.Errorf("what was created is not there: %+v", vm)
	}
	task, err = vm.Config(ctx, option("cores", 2), option("tags", "Foreign"))
	if err := done("configure", ctx, task, err); err != nil {
		return err
	}
	task, err = vm.Start(ctx)
	if err := done("start", ctx, task, err); err != nil {
		return err
	}
	if vm, err = node.VirtualMachine(ctx, vmid); err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	if !vm.IsRunning() || *vm.VirtualMachineConfig.Cores != 2 || vm.VirtualMachineConfig.Tags != "foreign" {
		return fmt.Errorf("not running as configured: %+v", vm)
	}
	task, err = vm.NewSnapshot(ctx, "before")
	if err := done("snapshot", ctx, task, err); err != nil {
		return err
	}
	snapshots, err := vm.Snapshots(ctx)
	if err != nil || len(snapshots) != 2 {
		return fmt.Errorf("snapshots: %d of 2, %w", len(snapshots), err)
	}
	task, err = vm.Snapshot("before").Delete(ctx)
	if err := done("delete the snapshot", ctx, task, err); err != nil {
		return err
	}
	if _, err := vm.Delete(ctx, nil); err == nil {
		return fmt.Errorf("destroyed while it runs")
	}
	task, err = vm.Stop(ctx)
	if err := done("stop", ctx, task, err); err != nil {
		return err
	}
	task, err = vm.Delete(ctx, &proxmox.VirtualMachineDeleteOptions{Purge: true})
	if err := done("delete", ctx, task, err); err != nil {
		return err
	}
	left, err := node.VirtualMachines(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	for _, other := range left {
		if uint64(other.VMID) == uint64(vmid) {
			return fmt.Errorf("still listed: %+v", other)
		}
	}
	return nil
}

func done(what string, ctx context.Context, task *proxmox.Task, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := task.Wait(ctx, 20*time.Millisecond, time.Minute); err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	if !task.IsSuccessful {
		return fmt.Errorf("%s: %s", what, task.ExitStatus)
	}
	return nil
}
