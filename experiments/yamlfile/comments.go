package yamlfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
)

// DocComments reads the doc comments of the packages in some folders, below the
// present one, from their source, for [Schema.Comments]. Kept are those whose
// full name ("import/path.Type.Field") begins with one of the prefixes.
func DocComments(module string, folders, prefixes []string) (map[string]string, error) {
	r := &jsonschema.Reflector{}
	for _, folder := range folders {
		if err := r.AddGoComments(module, folder, jsonschema.WithFullComment()); err != nil {
			return nil, fmt.Errorf("read the doc comments of %s: %w", folder, err)
		}
	}
	kept := map[string]string{}
	for name, text := range r.CommentMap {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			kept[name] = strings.Join(strings.Fields(text), " ")
		}
	}
	return kept, nil
}
