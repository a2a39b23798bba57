// SPDX-License-Identifier: MIT

// Command libcontainer has runc's library do one thing to a group of blkio:
//
//	libcontainer apply PATH PID  make the group and put the process into it
//	libcontainer set PATH        apply the configs.Resources read as JSON
//	libcontainer stats PATH      print the group's cgroups.BlkioStats as JSON
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/opencontainers/runc/libcontainer/cgroups"
	"github.com/opencontainers/runc/libcontainer/cgroups/fs"
	"github.com/opencontainers/runc/libcontainer/configs"
)

func apply(group *fs.BlkioGroup, path string, arguments []string) error {
	pid, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	return group.Apply(path, &configs.Resources{}, pid)
}

func set(group *fs.BlkioGroup, path string, _ []string) error {
	resources := &configs.Resources{}
	if err := json.NewDecoder(os.Stdin).Decode(resources); err != nil {
		return err
	}
	return group.Set(path, resources)
}

func stats(group *fs.BlkioGroup, path string, _ []string) error {
	found := cgroups.NewStats()
	if err := group.GetStats(path, found); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found.BlkioStats)
}

func main() {
	commands := map[string]func(*fs.BlkioGroup, string, []string) error{
		"apply": apply, "set": set, "stats": stats,
	}
	if err := commands[os.Args[1]](&fs.BlkioGroup{}, os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
