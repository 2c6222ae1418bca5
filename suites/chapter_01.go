package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 1 of the checklist: Service basics.

// LoseNoWrite holds when every acknowledged write is stored, once, and no
// refused one is doubled (1.5). It judges by the detector ledger.
func LoseNoWrite() types.GomegaMatcher { return holdKind("ledger") }

// TakeWritesOnce holds when a write that is submitted several times under its
// key stays one write with one answer (1.5). It judges by the detector
// duplicate_submits.
func TakeWritesOnce() types.GomegaMatcher { return holdKind("duplicate_submits") }

// ReadWhatWasWritten holds when whoever reads a register of the traffic gets
// what was written last, at whichever replica: each request can be given an
// instant between its sending and its answer such that all reads are explained
// (1.5). It judges by the detector linearizability.
func ReadWhatWasWritten() types.GomegaMatcher { return holdKind("linearizability") }
