package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleMixVersions() {
	expect(saved("mixed_versions/held-both")).To(suites.MixVersions())
	expect(saved("mixed_versions/violated-old-on-new-schema")).To(suites.MixVersions())
	// Output:
	// mixed_versions is violated: promised that no request fails for a rollout
}

func ExampleMigrateWithoutHoldingUp() {
	expect(saved("migration_locks/held-in-small-pieces")).To(suites.MigrateWithoutHoldingUp())
	expect(saved("migration_locks/violated-queued-behind")).To(suites.MigrateWithoutHoldingUp())
	// Output:
	// migration_locks is violated: promised that a migration makes no statement wait for a lock longer tha…
}
