package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"log"
	"os"

	"github.com/luthermonson/go-proxmox"
)

func main() {
	var sim struct {
		URL    string `json:"url"`
		CA     string `json:"ca"`
		Tokens []struct{ ID, Secret string }
	}
	text, err := os.ReadFile("sim.json")
	check(err)
	check(json.Unmarshal(text, &sim))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(sim.CA))
	client := proxmox.NewClient(sim.URL+"/api2/json",
		proxmox.WithRootCAs(roots), proxmox.WithAPIToken(sim.Tokens[0].ID, sim.Tokens[0].Secret))

	ctx := context.Background()
	node, err := client.Node(ctx, "pve1")
	check(err)
	template, err := node.VirtualMachine(ctx, 9000)
	check(err)
	vmid, task, err := template.Clone(ctx, &proxmox.VirtualMachineCloneOptions{Name: "from-go", Pool: "kubernetes"})
	check(err)
	check(task.WaitFor(ctx, 60))
	vm, err := node.VirtualMachine(ctx, vmid)
	check(err)
	task, err = vm.Start(ctx)
	check(err)
	check(task.WaitFor(ctx, 60))
	check(vm.Ping(ctx))
	log.Printf("VM %d is %s", vmid, vm.Status)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
