package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Client is one who may call /v1.
type Client struct {
	Token Secret
	Rate  int // requests a second of one replica
	Burst int // requests at once
}

// What a client may ask for whose contract says nothing: more than any of them
// does, so that only one who runs wild is held back.
const (
	usualRate  = 1000
	usualBurst = 2000
)

// clients reads tokens separated by commas, each with its own limit after an @
// if it has one: token@20/40 is 20 requests a second, and 40 at once.
func (r *reader) clients(name string) []Client {
	var all []Client
	seen := map[string]bool{}
	for text := range strings.SplitSeq(r.text(name, ""), ",") {
		token, limit, limited := strings.Cut(text, "@")
		c := Client{Token: Secret(token), Rate: usualRate, Burst: usualBurst}
		if limited && !c.limit(limit) || token == "" || seen[token] {
			r.fail(name, "tokens separated by commas, no two alike, each with its own limit after an @ if it has one: "+
				fmt.Sprintf("token@%d/%d", usualRate, usualBurst))
			return nil
		}
		seen[token] = true
		all = append(all, c)
	}
	return all
}

// limit reads a rate and a burst of one or more.
func (c *Client) limit(text string) bool {
	rate, burst, _ := strings.Cut(text, "/")
	var errs [2]error
	c.Rate, errs[0] = strconv.Atoi(rate)
	c.Burst, errs[1] = strconv.Atoi(burst)
	return errs == [2]error{} && c.Rate > 0 && c.Burst > 0
}
