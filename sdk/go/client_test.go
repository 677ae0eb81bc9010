package gridloom

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// The client, against an API that answers as docs/API.md says.

type reply struct {
	status int
	kind   string
	body   string
}

func good(body string) reply { return reply{200, "application/json", body} }

func refuses(kind string, status int, more string) reply {
	text, _ := json.Marshal(kind + " it is")
	return reply{status, "application/problem+json", `{"type":"urn:gridloom:` + kind + `","title":"t","detail":` + string(text) + more + `}`}
}

func stands(state, more string) reply {
	return good(`{"run":"hello_r_1","job":"hello","state":"` + state + `","rows":10,"counters":{"bytes":3},
		"shards":{"planned":4,"done":4,"dead":0,"outstanding":0}` + more + `}`)
}

type asked struct {
	method, uri, body string
	header            http.Header
}

// api answers each path with what was laid ready for it, the last of it for ever.
type api struct {
	*httptest.Server
	mu    sync.Mutex
	ready map[string][]reply
	asked []asked
}

func newAPI(t *testing.T) *api {
	t.Helper()
	for _, name := range []string{"GRIDLOOM_API", "GRIDLOOM_TOKEN"} {
		t.Setenv(name, "")
	}
	a := &api{ready: map[string][]reply{}}
	a.Server = httptest.NewServer(http.HandlerFunc(a.answer))
	t.Cleanup(a.Close)
	return a
}

func (a *api) lay(path string, replies ...reply) {
	a.ready["/api/v1"+path] = append(a.ready["/api/v1"+path], replies...)
}

func (a *api) answer(writer http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, asked{request.Method, request.RequestURI, string(body), request.Header})
	found := reply{404, "application/problem+json", ""}
	if ready := a.ready[request.RequestURI]; len(ready) > 0 {
		found = ready[0]
		if len(ready) > 1 {
			a.ready[request.RequestURI] = ready[1:]
		}
	}
	if found.status == 302 {
		writer.Header().Set("Location", found.body)
	}
	writer.Header().Set("Content-Type", found.kind)
	writer.WriteHeader(found.status)
	_, _ = io.WriteString(writer, found.body)
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func TestSubmissionCarriesItsIDAndWhatIsPutOverTheJob(t *testing.T) {
	api := newAPI(t)
	api.lay("/jobs/hello/runs", reply{202, "application/json", `{"run":"hello_r_1","job":"hello","id":"monday","sequence":7,"answer":"opened"}`})
	client := Client{API: api.URL, Token: "glt_x"}
	receipt, err := client.Submit(context.Background(), "hello", Submission{
		ID: "monday", Params: map[string]any{"day": "é"}, Overlap: "skip", Traceparent: "00-a-b-01",
	})
	if err != nil || receipt.Run != "hello_r_1" || receipt.ID != "monday" || receipt.Answer != "opened" {
		t.Fatal(receipt, err)
	}
	one := api.asked[0]
	var body map[string]any
	if err := json.Unmarshal([]byte(one.body), &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"params": map[string]any{"day": "é"}, "overlap": "skip"}
	said := []string{one.method, one.header.Get("Idempotency-Key"), one.header.Get("Authorization"), one.header.Get("traceparent")}
	if !reflect.DeepEqual(body, want) || strings.Join(said, " ") != "POST monday Bearer glt_x 00-a-b-01" {
		t.Error(body, said)
	}
}

func TestIDThatNoHeaderMayHaveIsSaidInTheBody(t *testing.T) {
	api := newAPI(t)
	api.lay("/jobs/hello/runs", reply{202, "application/json", `{"run":"hello_r_1","job":"hello","id":"x","sequence":7}`})
	client := Client{API: api.URL, Timeout: 5 * time.Second}
	for at, id := range []string{"Zürich", "订单 1", "two\nlines", " at the edge"} {
		_, err := client.Submit(context.Background(), "hello", Submission{ID: id, Traceparent: "a\nb"})
		if err != nil {
			t.Fatal(id, err)
		}
		one := api.asked[at]
		var body map[string]any
		if err := json.Unmarshal([]byte(one.body), &body); err != nil || !reflect.DeepEqual(body, map[string]any{"id": id}) {
			t.Error(id, one.body, err)
		}
		if one.header.Get("Idempotency-Key")+one.header.Get("traceparent") != "" {
			t.Error(id, one.header)
		}
	}
}

func TestRequestThatIsRepeatedHasTheSameIDThoughNoneWasSaid(t *testing.T) {
	api := newAPI(t)
	api.lay("/jobs/hello/runs", refuses("unknown", 503, ""), reply{502, "text/html", "<p>bad gateway"},
		reply{202, "application/json", `{"run":"hello_r_1","job":"hello","id":"x","sequence":7,"answer":null}`})
	client := Client{API: api.URL}
	receipt, err := client.Submit(context.Background(), "hello", Submission{})
	if err != nil || receipt.Answer != "" {
		t.Fatal(receipt, err)
	}
	ids := map[string]bool{}
	for _, one := range api.asked {
		ids[one.header.Get("Idempotency-Key")] = true
	}
	if len(api.asked) != 3 || len(ids) != 1 || ids[""] {
		t.Error(len(api.asked), ids)
	}
}

func TestRefusalIsToldWithItsFaultsAndNotRepeated(t *testing.T) {
	api := newAPI(t)
	api.lay("/jobs/hello/runs", refuses("refused", 422, `,"faults":["grid.slices: 0"]`))
	client := Client{API: api.URL}
	_, err := client.Submit(context.Background(), "hello", Submission{Grid: map[string]any{"slices": 0}})
	var refused *APIError
	if !errors.As(err, &refused) || refused.Type != "refused" || refused.Status != 422 || len(refused.Faults) != 1 {
		t.Fatal(err)
	}
	if err.Error() != "refused it is; grid.slices: 0" || len(api.asked) != 1 {
		t.Error(err, len(api.asked))
	}
}

func TestWaitEndsWithTheRun(t *testing.T) {
	api := newAPI(t)
	api.lay("/runs/hello_r_1", stands("running", ""), stands("running", ""), stands("succeeded", ""))
	client := Client{API: api.URL}
	found, err := client.Wait(within(t, soon), "hello_r_1")
	if err != nil || !found.Succeeded() || found.Rows != 10 || found.Counters["bytes"] != 3 || found.Shards["planned"] != 4 {
		t.Error(found, err)
	}
	if len(api.asked) != 3 {
		t.Error(len(api.asked))
	}
}

func TestRunThatFailedIsGivenWithAnError(t *testing.T) {
	api := newAPI(t)
	api.lay("/runs/hello_r_1", stands("failed", `,"error":"3 shards are dead"`))
	client := Client{API: api.URL}
	found, err := client.Wait(context.Background(), "hello_r_1")
	var failed *RunFailed
	if !errors.As(err, &failed) || failed.Run != found || found.State != "failed" || !strings.Contains(err.Error(), "3 shards are dead") {
		t.Error(found, err)
	}
}

func TestWaitGivesUpWithItsContext(t *testing.T) {
	api := newAPI(t)
	api.lay("/runs/hello_r_1", stands("running", ""))
	client := Client{API: api.URL}
	_, err := client.Wait(within(t, 200*time.Millisecond), "hello_r_1")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "is running: 4 of 4 shards done") {
		t.Error(err)
	}
}

func TestRunThatWaitsBehindAnotherIsWaitedForAndOneThatNobodyKnowsIsNot(t *testing.T) {
	api := newAPI(t)
	api.lay("/runs/hello_r_1", refuses("not-found", 404, ""), stands("succeeded", ""))
	api.lay("/runs/waiting?job=hello", good(`{"items":[{"run":"hello_r_1"}]}`))
	api.lay("/runs/hello_r_2", refuses("not-found", 404, ""))
	client := Client{API: api.URL}
	if found, err := client.Wait(within(t, soon), "hello_r_1"); err != nil || !found.Succeeded() {
		t.Error(found, err)
	}
	var refused *APIError
	if _, err := client.Wait(within(t, soon), "hello_r_2"); !errors.As(err, &refused) || refused.Type != "not-found" {
		t.Error(err)
	}
}

func TestReceiptThatNobodyAnsweredYetIsWaitedFor(t *testing.T) {
	api := newAPI(t)
	api.lay("/jobs/hello/runs", good(`{"run":"hello_r_1","job":"hello","id":"x","sequence":7,"answer":null}`))
	api.lay("/runs/hello_r_1", refuses("not-found", 404, ""), stands("succeeded", ""))
	client := Client{API: api.URL}
	receipt, err := client.Submit(context.Background(), "hello", Submission{})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := receipt.Wait(within(t, soon)); err != nil || !found.Succeeded() {
		t.Error(found, err)
	}
}

func TestTokenFollowsNoRedirect(t *testing.T) {
	api, other := newAPI(t), newAPI(t)
	api.lay("/runs/hello_r_1", reply{302, "", other.URL + "/api/v1/runs/hello_r_1"})
	client := Client{API: api.URL, Token: "glt_x", HTTP: &http.Client{}}
	if _, err := client.Show(context.Background(), "hello_r_1"); err == nil || len(other.asked) > 0 {
		t.Error(err, other.asked)
	}
}

func TestNobodyThereIsToldWithTheAddress(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + free.Addr().String()
	_ = free.Close()
	client := Client{API: address, Timeout: 300 * time.Millisecond}
	var away *Unreachable
	if _, err := client.Show(context.Background(), "hello_r_1"); !errors.As(err, &away) || !strings.Contains(err.Error(), address) {
		t.Error(err)
	}
}

func TestAddressThatIsNoneIsRefusedAtOnce(t *testing.T) {
	newAPI(t)
	for _, address := range []string{"127.0.0.1:7070", "nats://127.0.0.1", "http://", "http://u:p@h", "http://h?x=1"} {
		client := Client{API: address}
		var away *Unreachable
		if _, err := client.Show(context.Background(), "r"); err == nil || errors.As(err, &away) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestBasePathAndEnvironmentAreHeeded(t *testing.T) {
	api := newAPI(t)
	t.Setenv("GRIDLOOM_API", api.URL+"/gridloom/")
	t.Setenv("GRIDLOOM_TOKEN", "glt_y")
	var client Client
	if _, err := client.Show(context.Background(), "a/b"); err == nil {
		t.Error("nobody refused it")
	}
	if one := api.asked[0]; one.uri != "/gridloom/api/v1/runs/a%2Fb" || one.header.Get("Authorization") != "Bearer glt_y" {
		t.Error(one)
	}
}

func TestClientInAChildOfAWorkerDoesNotTellTheAPIByWhatThatOneKnowsIt(t *testing.T) {
	api := newAPI(t)
	t.Setenv("GRIDLOOM_SOCKET", "/run/worker.sock")
	t.Setenv("GRIDLOOM_TOKEN", "0123456789abcdef")
	for _, client := range []Client{{API: api.URL}, {API: api.URL, Token: "glt_x"}} {
		if _, err := client.Show(context.Background(), "r"); err == nil {
			t.Error("nobody refused it")
		}
	}
	if told := []string{api.asked[0].header.Get("Authorization"), api.asked[1].header.Get("Authorization")}; told[0] != "" || told[1] != "Bearer glt_x" {
		t.Error(told)
	}
}

func TestAnswerOfSomethingElseThanAPlannerIsTold(t *testing.T) {
	api := newAPI(t)
	api.lay("/runs/hello_r_1", reply{200, "text/html", "<p>hello"})
	client := Client{API: api.URL, Timeout: 200 * time.Millisecond}
	var away *Unreachable
	if _, err := client.Show(context.Background(), "hello_r_1"); !errors.As(err, &away) || !strings.Contains(err.Error(), "is it a planner") {
		t.Error(err)
	}
}

func TestAnyOtherRequestIsMadeByCall(t *testing.T) {
	api := newAPI(t)
	api.lay("/runs/hello_r_1/cancel", good(`{"cancelled":true}`))
	client := Client{API: api.URL}
	var said struct{ Cancelled bool }
	if err := client.Call(context.Background(), "POST", "/runs/hello_r_1/cancel", nil, &said); err != nil || !said.Cancelled {
		t.Error(said, err)
	}
}
