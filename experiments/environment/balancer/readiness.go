package balancer

import (
	"context"
	"fmt"
	"time"
)

// follow asks one backend again and again. One success puts it into rotation,
// as many failures in a row as the rule says take it out, and the balancer acts
// on either after the propagation delay.
func (b *Balancer) follow(ctx context.Context, m *member) {
	turn := time.NewTicker(b.rule.Period)
	defer turn.Stop()
	failures := 0
	for {
		var asked chan struct{}
		select {
		case <-ctx.Done():
			return
		case asked = <-m.kick:
		case <-turn.C:
		}
		ready := ask(ctx, m.Probe)
		if ctx.Err() != nil {
			return
		}
		if ready {
			failures = 0
		} else {
			failures++
		}
		b.act(ctx, m, failures)
		if asked != nil {
			close(asked)
		}
	}
}

func ask(ctx context.Context, p Probe) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return p(ctx) == nil
}

// act has a decision of the rule carried out.
func (b *Balancer) act(ctx context.Context, m *member, failures int) {
	in, reason := failures == 0, "ready"
	if !in {
		if failures < b.rule.Failures {
			return
		}
		reason = fmt.Sprintf("%d readiness failures", failures)
	}
	b.mu.Lock()
	same := m.in == in || in && m.drained
	b.mu.Unlock()
	if same || wait(ctx, b.rule.Propagation) != nil {
		return
	}
	b.set(m, in, reason)
}
