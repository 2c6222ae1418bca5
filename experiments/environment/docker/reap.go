package docker

import (
	"context"
	"strings"

	"github.com/moby/moby/client"

	"github.com/seatrial/seatrial/experiments/environment/watcher"
)

// cleaner is the name by which the watcher knows us.
const cleaner = "docker"

var _ = watcher.Register(cleaner, watcher.Cleaner{
	Find: find,
	Clear: func(ctx context.Context, scratch string) error {
		g, err := connect(ctx)
		if err != nil {
			return err
		}
		defer g.client.Close()
		return g.clear(ctx, scratch)
	},
})

// find lists all containers and networks of trials. Where no engine answers
// there are none.
func find(ctx context.Context) ([]watcher.Leftover, error) {
	g, err := connect(ctx)
	if err != nil {
		return nil, nil
	}
	defer g.client.Close()
	found, err := g.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: labelled(labelScratch, "")})
	if err != nil {
		return nil, err
	}
	var all []watcher.Leftover
	for _, c := range found.Items {
		all = append(all, leftover("container "+strings.TrimPrefix(strings.Join(c.Names, " "), "/"), c.Labels))
	}
	networks, err := g.client.NetworkList(ctx, client.NetworkListOptions{Filters: labelled(labelScratch, "")})
	if err != nil {
		return all, err
	}
	for _, n := range networks.Items {
		all = append(all, leftover("network "+n.Name, n.Labels))
	}
	return all, nil
}

func leftover(what string, labels map[string]string) watcher.Leftover {
	return watcher.Leftover{Other: what, Trial: labels[labelTrial], Scratch: labels[labelScratch]}
}
