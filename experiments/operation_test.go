package experiments

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackgroundIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := background(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("cut off")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := stop(ctx)
		errorIs(t, err, "did not end in time")
		errorIs(t, err, "cut off")
	})
}
