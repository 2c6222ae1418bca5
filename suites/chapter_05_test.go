package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleMixVersions() {
	expect(saved("mixed_versions/held-both")).To(suites.MixVersions())
	expect(saved("mixed_versions/violated-old-on-new-schema")).To(suites.MixVersions())
	// Output:
	// mixed_versions is violated: promised that no request fails for a rollout
}
