package main

import (
	"encoding/json"
	"fmt"

	"github.com/invopop/jsonschema"
	"github.com/spf13/cobra"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/subject"
)

func newSchema() *cobra.Command {
	kinds := map[string]func() *jsonschema.Schema{"subject": subject.Schema, "experiment": experiments.Schema}
	return &cobra.Command{
		Use:   "schema [subject|experiment]",
		Short: "Print the JSON Schema of a file",
		Long: `Print the JSON Schema of a subject file (seatrial.yaml, the default) or of an
experiment file. Editors with a YAML language server complete and check files by it:

  # yaml-language-server: $schema=seatrial.schema.json`,
		Example: `  seatrial schema > seatrial.schema.json
  seatrial schema experiment > experiment.schema.json`,
		ValidArgs: []string{"subject", "experiment"},
		Args:      exactly(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs), "subject or experiment"),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := "subject"
			if len(args) > 0 {
				kind = args[0]
			}
			b, err := json.MarshalIndent(kinds[kind](), "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
			return err
		},
	}
}
