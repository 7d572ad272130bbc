// proxmox-api-go leads a VM through its life: create, configure, start, snapshot, list, delete.
//
// Usage: proxmox-api-go URL CA-FILE USER PASSWORD
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	proxmox "github.com/Telmate/proxmox-api-go/proxmox"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(ctx context.Context, url, ca, user, password string) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client, err := proxmox.NewClient(url+"/api2/json", nil, "", &tls.Config{RootCAs: roots}, "", 60, false)
	if err != nil {
		return err
	}
	if err := client.Login(ctx, user, password, ""); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	id, err := client.GetNextID(ctx, nil)
	if err != nil {
		return fmt.Errorf("next id: %w", err)
	}
	name, node, pool := proxmox.GuestName("foreign"), proxmox.NodeName("pve1"), proxmox.PoolName("kubernetes")
	cores, memory := proxmox.QemuCpuCores(1), proxmox.QemuMemoryCapacity(512)
	config := proxmox.ConfigQemu{
		ID: &id, Name: &name, Node: &node, Pool: &pool,
		CPU:    &proxmox.QemuCPU{Cores: &cores},
		Memory: &proxmox.QemuMemory{CapacityMiB: &memory},
		Scsihw: "virtio-scsi-single",
		Disks: &proxmox.QemuStorages{Scsi: &proxmox.QemuScsiDisks{Disk_0: &proxmox.QemuScsiStorage{
			Disk: &proxmox.QemuScsiDisk{Storage: "shared", SizeInKibibytes: 1 << 20, Format: proxmox.QemuDiskFormat_Qcow2},
		}}},
	}
	vm, err := config.Create(ctx, client)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	read, err := proxmox.NewConfigQemuFromApi(ctx, vm, client)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if *read.Name != name || *read.CPU.Cores != cores || read.Disks.Scsi.Disk_0 == nil {
		return fmt.Errorf("what was created is not there: %s", read)
	}
	cores = 2
	tags := proxmox.Tags{"foreign"}
	change := proxmox.ConfigQemu{CPU: &proxmox.QemuCPU{Cores: &cores}, Tags: &tags}
	if _, err := change.Update(ctx, true, vm, client); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	if read, err = proxmox.NewConfigQemuFromApi(ctx, vm, client); err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	if *read.CPU.Cores != 2 || len(*read.Tags) != 1 {
		return fmt.Errorf("not as configured: %s", read)
	}
	if status, err := client.StartVm(ctx, vm); err != nil {
		return fmt.Errorf("start: %s, %w", status, err)
	}
	snapshots := client.New().Snapshot
	if err := snapshots.CreateQemu(ctx, *vm, "before", "a state to go back to", false); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if _, err := snapshots.ReadQemu(ctx, *vm, "before"); err != nil {
		return fmt.Errorf("read the snapshot: %w", err)
	}
	if _, err := snapshots.Delete(ctx, *vm, "before"); err != nil {
		return fmt.Errorf("delete the snapshot: %w", err)
	}
	if _, err := client.DeleteVm(ctx, vm); err == nil {
		return fmt.Errorf("destroyed while it runs")
	}
	if status, err := client.StopVm(ctx, vm); err != nil {
		return fmt.Errorf("stop: %s, %w", status, err)
	}
	if err := vm.Delete(ctx, client); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	// The list is made anew every few seconds.
	for range 200 {
		exists, err := client.VMIdExists(ctx, id)
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if !exists {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("still listed: %d", id)
}
