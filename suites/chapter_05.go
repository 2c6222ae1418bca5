package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 5 of the checklist: Migrations and schema evolution.

// MixVersions holds when the schema can be migrated and the service rolled to
// its next version and back without a failed request, and each version reads
// what the other wrote (5.1, 5.2, 5.5, 10.5). It judges by the detector
// mixed_versions.
func MixVersions() types.GomegaMatcher { return holdKind("mixed_versions") }

// MigrateWithoutHoldingUp holds when a migration of a large table keeps nobody
// waiting, and of several migrators at once one works (5.3, 5.4). It judges by
// the detector migration_locks.
func MigrateWithoutHoldingUp() types.GomegaMatcher { return holdKind("migration_locks") }
