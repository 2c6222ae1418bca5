package experiments

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Classes of actions.
const (
	ClassFault     = "fault"
	ClassOperation = "operation"
	ClassProbe     = "probe"
)

// Classes lists the classes of actions, in the order of their explanation.
func Classes() []string { return []string{ClassFault, ClassOperation, ClassProbe} }

var actions = map[string]map[string]func() Action{
	ClassOperation: {},
	ClassProbe:     {},
}

// registerAction names a kind of operation or probe for files. The function
// returns a pointer to a struct that holds the defaults, ready to be decoded
// into.
func registerAction(class, kind string, f func() Action) struct{} {
	if _, twice := actions[class][kind]; twice {
		panic("experiments: " + class + " " + kind + " is registered twice")
	}
	actions[class][kind] = f
	return struct{}{}
}

// newAction returns an action of a kind with its defaults, and the pointer into
// which its parameters are decoded.
func newAction(class, kind string) (action Action, params any, err error) {
	if class == ClassFault {
		a, err := newFaultAction(kind)
		if err != nil {
			return nil, nil, err
		}
		return a, a.Fault, nil
	}
	f, ok := actions[class][kind]
	if !ok {
		return nil, nil, fmt.Errorf("no %s is called %q; there are %v", class, kind, ActionKinds(class))
	}
	a := f()
	return a, a, nil
}

// ActionKinds lists the kinds of actions of one class, sorted.
func ActionKinds(class string) []string {
	if class == ClassFault {
		return faultKinds()
	}
	return slices.Sorted(maps.Keys(actions[class]))
}

// What an action may tell or be told beyond [Action]; the plan asks.
type (
	// validated actions know what is wrong with their parameters.
	validated interface{ Validate() error }
	// measured actions take a time of their own: the length of a step that has
	// no for.
	measured interface{ Length() time.Duration }
	// bound actions need to know their step's name and length.
	bound interface {
		bind(step string, length time.Duration)
	}
)
