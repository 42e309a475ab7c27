// A process Cog in Go, with the standard library alone: does a service answer over HTTP?
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

const largestBody = 4 << 20

var healthy = cog{
	about: object{
		"name":        "healthy",
		"desc":        "Asks a URL, and wants an answer in time",
		"tags":        []string{"http"},
		"idempotent":  true,
		"timeout":     30,
		"retries":     2,
		"retry_delay": 1,
		"concurrency": 256, // a goroutine each
		"args": object{
			"type": "object",
			"properties": object{
				"url":     object{"type": "string"},
				"within":  object{"type": "number", "description": "seconds; 5"},
				"expect":  object{"type": "integer", "description": "the status that is wanted; 200"},
				"content": object{"type": "boolean", "description": "whether the output has the answer's body; false"},
			},
			"required":             []string{"url"},
			"additionalProperties": false,
		},
	},
	validate: func(args object) error { _, err := readProbe(args); return err },
	execute:  func(c *call) result { return check(c) },
}

type probe struct {
	url     string
	within  time.Duration
	expect  int64
	content bool
}

// readProbe says what is wrong with args, in words for who wrote them.
func readProbe(args object) (probe, error) {
	p := probe{within: 5 * time.Second, expect: http.StatusOK}
	for name, value := range args {
		if value == nil { // as good as left out
			continue
		}
		var ok bool
		switch name {
		case "url":
			p.url, ok = value.(string)
		case "within":
			var seconds float64
			switch number := value.(type) {
			case int64:
				seconds, ok = float64(number), true
			case float64:
				seconds, ok = number, true
			}
			ok = ok && seconds > 0 && seconds <= 3600
			p.within = time.Duration(seconds * float64(time.Second))
		case "expect":
			p.expect, ok = value.(int64)
		case "content":
			p.content, ok = value.(bool)
		default:
			return p, fmt.Errorf("there is no arg %q; there are url, within, expect, content", name)
		}
		if !ok {
			return p, fmt.Errorf("%s is %#v, which will not do", name, value)
		}
	}
	if target, err := url.Parse(p.url); err != nil || target.Host == "" {
		return p, fmt.Errorf("url is %q, and should be like http://edge-1:8080/health", p.url)
	}
	return p, nil
}

func check(c *call) result {
	p, err := readProbe(c.args)
	if err != nil {
		return noRetries(err)
	}
	c.progress(0, "asking "+p.url)
	ctx, cancel := context.WithTimeout(c, p.within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return noRetries(err)
	}
	begun := time.Now()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return lost(c, p, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, largestBody))
	if err != nil {
		return lost(c, p, err)
	}
	c.log("%s: %s, %d bytes", p.url, answer.Status, len(body))
	output := object{"status": answer.StatusCode, "seconds": time.Since(begun).Seconds()}
	if p.content {
		output["content"] = string(body)
	}
	if int64(answer.StatusCode) != p.expect {
		return result{"FAILURE", output, fmt.Sprintf("%s answers %s, not %d", p.url, answer.Status, p.expect)}
	}
	return success(output)
}

func lost(c *call, p probe, err error) result {
	if c.Err() != nil {
		return failure(errors.New("cancelled"))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return failure(fmt.Errorf("%s did not answer within %v", p.url, p.within))
	}
	return failure(err)
}

func main() { os.Exit(serve("1.0", healthy)) }
