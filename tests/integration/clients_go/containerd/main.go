// SPDX-License-Identifier: MIT

// Command containerd has containerd's cgroups library do one thing to a group of blkio below
// /sys/fs/cgroup/blkio:
//
//	containerd create PATH   make the group with the specs.LinuxResources read as JSON
//	containerd update PATH   apply others
//	containerd add PATH PID  put the process into it
//	containerd list PATH     print the processes in it as JSON
//	containerd stats PATH    print its v1.BlkIOStat as JSON
//	containerd delete PATH   remove it
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/containerd/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func blkio() ([]cgroups.Subsystem, error) {
	return []cgroups.Subsystem{cgroups.NewBlkio("/sys/fs/cgroup")}, nil
}

func resources() (*specs.LinuxResources, error) {
	read := &specs.LinuxResources{}
	return read, json.NewDecoder(os.Stdin).Decode(read)
}

func create(path string) error {
	wanted, err := resources()
	if err != nil {
		return err
	}
	_, err = cgroups.New(blkio, cgroups.StaticPath(path), wanted)
	return err
}

func update(group cgroups.Cgroup) error {
	wanted, err := resources()
	if err != nil {
		return err
	}
	return group.Update(wanted)
}

func add(group cgroups.Cgroup) error {
	pid, err := strconv.ParseUint(os.Args[3], 10, 64)
	if err != nil {
		return err
	}
	return group.AddProc(pid)
}

func list(group cgroups.Cgroup) error {
	processes, err := group.Processes(cgroups.Blkio, false)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(processes)
}

func stats(group cgroups.Cgroup) error {
	metrics, err := group.Stat()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(metrics.Blkio)
}

func remove(group cgroups.Cgroup) error {
	return group.Delete()
}

func run(command, path string) error {
	if command == "create" {
		return create(path)
	}
	group, err := cgroups.Load(blkio, cgroups.StaticPath(path))
	if err != nil {
		return err
	}
	commands := map[string]func(cgroups.Cgroup) error{
		"update": update, "add": add, "list": list, "stats": stats, "delete": remove,
	}
	return commands[command](group)
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
