package gridloom

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// apiDefault is where a planner answers when nobody says otherwise.
	apiDefault = "http://127.0.0.1:7070"
	// requestDefault is how long one request may take, with its repetitions.
	requestDefault = 30 * time.Second
	// Pauses of Wait between two looks, the first and the longest.
	lookFirst, lookLast = 100 * time.Millisecond, 2 * time.Second
	// Pauses before a request is sent again, the first and the longest.
	againFirst, againLast = 100 * time.Millisecond, 2 * time.Second
	// answerMax is the longest answer that is read.
	answerMax = 64 << 20
)

// Client starts runs and looks at them, over a planner's HTTP API (docs/API.md). Its zero value is ready; many goroutines
// may use it.
type Client struct {
	// API is the address, as `gridloom dev` prints it; empty: GRIDLOOM_API, or http://127.0.0.1:7070.
	API string
	// Token is one of `gridloom token`; empty: GRIDLOOM_TOKEN.
	Token string
	// Timeout is how long one request may take, with its repetitions; 0: 30 s.
	Timeout time.Duration
	// HTTP asks, where TLS or a proxy want something special. Redirects are not followed whatever it says: an API never
	// redirects, and whoever does gets no token of ours.
	HTTP *http.Client
}

// Submission is what may be said of a run.
type Submission struct {
	// ID: the same one never makes a second run. Left out, one is made by chance, so that a request that is repeated
	// after a lost answer starts nothing twice.
	ID string
	// Params are put over the job's own, key by key; Grid takes the place of its grid, where the job lets it.
	Params, Grid map[string]any
	// Overlap is what becomes of it while another run of the job is open.
	Overlap string
	// Traceparent names the span that it belongs to.
	Traceparent string
}

// Receipt is a submission that is stored: it will be a run, whatever crashes.
type Receipt struct {
	Run string `json:"run"`
	Job string `json:"job"`
	// ID is that of the request.
	ID string `json:"id"`
	// Answer is opened, exists, purged or queued; empty: no planner has said so yet.
	Answer string `json:"answer"`

	client *Client
}

// Run is how a run stands.
type Run struct {
	ID  string `json:"run"`
	Job string `json:"job"`
	// State is running, succeeded, failed or cancelled.
	State    string           `json:"state"`
	Rows     int64            `json:"rows"`
	Counters map[string]int64 `json:"counters"`
	// Shards are counted: planned, done, dead, outstanding and others.
	Shards map[string]int64 `json:"shards"`
	Error  string           `json:"error"`
	// Raw is all that was answered: docs/openapi.json has its form.
	Raw JSON `json:"-"`
}

// Ended is whether nothing follows by itself.
func (r *Run) Ended() bool { return r.State != "running" }

// Succeeded is whether every shard is committed.
func (r *Run) Succeeded() bool { return r.State == "succeeded" }

// Submit starts a run of a job.
func (c *Client) Submit(ctx context.Context, job string, said Submission) (*Receipt, error) {
	id := said.ID
	if id == "" {
		id = byChance()
	}
	headers, body := map[string]string{}, map[string]any{}
	if fitsAHeader(id) {
		headers["Idempotency-Key"] = id
	} else {
		body["id"] = id
	}
	if fitsAHeader(said.Traceparent) {
		headers["traceparent"] = said.Traceparent
	}
	if said.Params != nil {
		body["params"] = said.Params
	}
	if said.Grid != nil {
		body["grid"] = said.Grid
	}
	if said.Overlap != "" {
		body["overlap"] = said.Overlap
	}
	receipt := Receipt{ID: id, client: c}
	err := c.call(ctx, "POST", "/jobs/"+url.PathEscape(job)+"/runs", headers, body, &receipt)
	if err != nil {
		return nil, err
	}
	return &receipt, nil
}

// Show says how a run stands.
func (c *Client) Show(ctx context.Context, run string) (*Run, error) {
	var raw json.RawMessage
	if err := c.call(ctx, "GET", "/runs/"+url.PathEscape(run), nil, nil, &raw); err != nil {
		return nil, err
	}
	found := Run{Raw: JSON(raw)}
	if err := json.Unmarshal(raw, &found); err != nil {
		return nil, &Unreachable{Reason: "a run that is none", Err: err}
	}
	return &found, nil
}

// Wait waits until a run has ended, also one that waits until others of its job are over. One that did not succeed is
// given together with a *RunFailed. Where ctx ends first, its error is in the error.
func (c *Client) Wait(ctx context.Context, run string) (*Run, error) { return c.wait(ctx, run, false) }

// Wait waits until the run of the submission has ended, as Client.Wait does.
func (r *Receipt) Wait(ctx context.Context) (*Run, error) {
	// What is stored and was answered by nobody will be opened once a planner leads.
	return r.client.wait(ctx, r.Run, r.Answer == "")
}

func (c *Client) wait(ctx context.Context, run string, patient bool) (*Run, error) {
	stands := "was not looked at yet"
	for pause := lookFirst; ; pause = shorter(pause*3/2, lookLast) {
		found, err := c.look(ctx, run, patient)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("wait for run %s, which %s: %w", run, stands, ctx.Err())
		case err != nil:
			return nil, err
		case found == nil:
			stands = "is not opened yet"
		case !found.Ended():
			stands = fmt.Sprintf("is %s: %d of %d shards done", found.State, found.Shards["done"], found.Shards["planned"])
		case !found.Succeeded():
			return found, &RunFailed{Run: found}
		default:
			return found, nil
		}
		select {
		case <-ctx.Done():
			return found, fmt.Errorf("wait for run %s, which %s: %w", run, stands, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// look gives nil where the run waits to be opened.
func (c *Client) look(ctx context.Context, run string, patient bool) (*Run, error) {
	found, err := c.Show(ctx, run)
	var refused *APIError
	if !errors.As(err, &refused) || refused.Type != "not-found" {
		return found, err
	}
	if patient {
		return nil, nil
	}
	var waiting struct {
		Items []struct{ Run string }
	}
	job := strings.SplitN(run, "_", 2)[0]
	if err := c.call(ctx, "GET", "/runs/waiting?job="+url.QueryEscape(job), nil, nil, &waiting); err != nil {
		return nil, err
	}
	for _, one := range waiting.Items {
		if one.Run == run {
			return nil, nil
		}
	}
	// It may have been opened between the two questions.
	return c.Show(ctx, run)
}

// Call makes any request of the API: client.Call(ctx, "POST", "/runs/RUN/cancel", nil, nil). The answer is decoded into
// what into points to. Passing troubles are tried again until the client's Timeout, so what changes something should be
// harmless twice.
func (c *Client) Call(ctx context.Context, method, path string, body, into any) error {
	return c.call(ctx, method, path, nil, body, into)
}

func (c *Client) call(ctx context.Context, method, path string, headers map[string]string, body, into any) error {
	base, err := c.base()
	if err != nil {
		return err
	}
	var encoded []byte
	if body != nil {
		if encoded, err = json.Marshal(body); err != nil {
			return err
		}
	}
	limit := c.Timeout
	if limit <= 0 {
		limit = requestDefault
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for pause := againFirst; ; pause = shorter(pause*2, againLast) {
		err := c.once(limited, method, base, path, headers, encoded, into)
		var refused *APIError
		var away *Unreachable
		passes := errors.As(err, &away) || (errors.As(err, &refused) && refused.passes())
		if !passes {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limited.Done():
			return err
		// By chance, so that many that were cut off at once do not come back at once.
		case <-time.After(pause/2 + chance(pause/2)):
		}
	}
}

func (c *Client) once(ctx context.Context, method, base, path string, headers map[string]string, body []byte, into any) error {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, base+path, reader)
	if err != nil {
		return err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token := or(c.Token, ofEnvironment()); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.client().Do(request)
	if err != nil {
		return &Unreachable{Reason: "no answer of " + base, Err: err}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerMax))
	if err != nil {
		return &Unreachable{Reason: "half an answer of " + base, Err: err}
	}
	if answer.StatusCode < 200 || answer.StatusCode >= 300 {
		return refusal(answer, base, text)
	}
	if into == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &Unreachable{Reason: fmt.Sprintf("%s answers %d with something else: is it a planner?", base, answer.StatusCode), Err: err}
	}
	return nil
}

func (c *Client) client() *http.Client {
	client := http.Client{}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// base is where requests go.
func (c *Client) base() (string, error) {
	said := or(c.API, or(os.Getenv("GRIDLOOM_API"), apiDefault))
	address, err := url.Parse(said)
	if err != nil || (address.Scheme != "http" && address.Scheme != "https") || address.Host == "" {
		return "", fmt.Errorf("%q is no address of an API: write it as %s", said, apiDefault)
	}
	if address.User != nil || address.RawQuery != "" || address.Fragment != "" {
		return "", errors.New("the address of an API holds neither a password nor a query: say Client{Token: ...}")
	}
	path := strings.TrimRight(address.Path, "/")
	if !strings.HasSuffix(path, "/api/v1") {
		path += "/api/v1"
	}
	return address.Scheme + "://" + address.Host + path, nil
}

func refusal(answer *http.Response, base string, text []byte) error {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	refused := &APIError{Status: answer.StatusCode}
	if kind != "application/problem+json" || json.Unmarshal(text, refused) != nil {
		// A proxy's own answers: passing ones are tried again, the others are told as they are.
		switch answer.StatusCode {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return &Unreachable{Reason: fmt.Sprintf("%s answers %s", base, answer.Status)}
		}
		return &APIError{
			Type: "about:blank", Status: answer.StatusCode,
			Detail: fmt.Sprintf("%s answers %d and no problem: is it a planner?", base, answer.StatusCode),
		}
	}
	refused.Type = strings.TrimPrefix(refused.Type, "urn:gridloom:")
	return refused
}

// fitsAHeader is whether a header says exactly this: visible signs of ASCII, with blanks between them alone.
func fitsAHeader(text string) bool {
	for _, sign := range text {
		if sign < ' ' || sign > '~' {
			return false
		}
	}
	return text != "" && strings.TrimSpace(text) == text
}

// byChance is an id that nobody else has.
func byChance() string {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		panic(err) // a system without random numbers
	}
	return hex.EncodeToString(id)
}

func chance(below time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(below)))
	if err != nil {
		return 0
	}
	return time.Duration(n.Int64())
}

func shorter(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

func or(said, otherwise string) string {
	if said != "" {
		return said
	}
	return otherwise
}

// ofEnvironment is the token of a client that was told none. In a child of a worker the variable holds what that one knows it by.
func ofEnvironment() string {
	if os.Getenv("GRIDLOOM_SOCKET") != "" {
		return ""
	}
	return os.Getenv("GRIDLOOM_TOKEN")
}
