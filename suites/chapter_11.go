package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 11 of the checklist: Containers.

// RunConfined holds when the image has no shell and no secret, but certificates,
// and the service runs as another user than root, with a root that is not
// written and without capabilities, and hears the stop signal (2.3, 11.2, 11.3,
// 11.5). It judges by the detector container.
func RunConfined() types.GomegaMatcher { return holdKind("container") }
