package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/seatrial/seatrial/experiments/environment/agent"
)

func newAgent() *cobra.Command {
	return &cobra.Command{
		Use:    "agent",
		Hidden: true,
		Short:  "Host the proxies and stubs of one trial",
		Long: `Host what stands between a service and its dependencies: Toxiproxy and the
programmable HTTP stubs. It reads its configuration as JSON from standard input,
prints a handshake, and serves until standard input ends. Seatrial starts it by
itself; this is for containers.`,
		Args: exactly(cobra.NoArgs, "flags alone"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return agent.Main(cmd.Context(), os.Stdin, cmd.OutOrStdout())
		},
	}
}
