package watcher

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Cleaner knows what trials keep outside the processes and files of this
// machine, such as containers, each marked with the trial's scratch folder.
type Cleaner struct {
	// Find lists what is there, whosever it is.
	Find func(context.Context) ([]Leftover, error)
	// Clear removes all that carries the mark of a scratch folder; with an empty
	// one, what is nobody's.
	Clear func(ctx context.Context, scratch string) error
}

var cleaners = map[string]Cleaner{}

// Register names a cleaner, while packages are initialised.
func Register(name string, c Cleaner) struct{} {
	if _, twice := cleaners[name]; twice {
		panic("watcher: cleaner " + name + " is registered twice")
	}
	cleaners[name] = c
	return struct{}{}
}

// Use has the named cleaner called when seatrial dies.
func (w *Watcher) Use(cleaner string) error { return w.send(order{Op: "add", Cleaner: cleaner}) }

// clearWithin bounds what a cleaner may take.
const clearWithin = 30 * time.Second

// clean calls the cleaners that are in use.
func (l *list) clean() error {
	ctx, cancel := context.WithTimeout(context.Background(), clearWithin)
	defer cancel()
	var err error
	for _, name := range slices.Sorted(maps.Keys(l.cleaners)) {
		if c, ok := cleaners[name]; ok {
			err = joined(err, c.Clear(ctx, l.scratch))
		}
	}
	return err
}

// foreign is what all cleaners find of dead trials.
func foreign(ctx context.Context) ([]Leftover, error) {
	var found []Leftover
	for _, name := range slices.Sorted(maps.Keys(cleaners)) {
		all, err := cleaners[name].Find(ctx)
		if err != nil {
			return found, err
		}
		for _, l := range all {
			if l.Nobodys || abandoned(l.Scratch) || vanished(l.Scratch) {
				l.cleaner = name
				found = append(found, l)
			}
		}
	}
	return found, nil
}
