package gridloom;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The client, against answers as a planner gives them. */
final class ClientTest {
    private static final String RECEIPT = "{\"run\":\"resize_r_1\",\"job\":\"resize\",\"id\":\"monday\",\"answer\":\"opened\"}";
    private static final String RUNNING = run("running", "null");
    private static final String PASSING = "{\"type\":\"urn:gridloom:unavailable\",\"title\":\"no planner leads\"}";
    private static final String NONE = "{\"type\":\"urn:gridloom:not-found\",\"detail\":\"there is no run of that name\"}";

    private HttpServer server;
    /** What was asked, and what is answered next: status, then the body. */
    private final List<String> asked = Collections.synchronizedList(new ArrayList<>());
    private final Deque<Object[]> answers = new ArrayDeque<>();

    private static String run(String state, String error) {
        return "{\"run\":\"resize_r_1\",\"job\":\"resize\",\"state\":\"" + state + "\",\"rows\":7,\"counters\":{\"bytes\":5},"
                + "\"shards\":{\"planned\":4,\"done\":4},\"error\":" + error + "}";
    }

    @BeforeEach
    void open() throws Exception {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0);
        server.createContext("/", exchange -> {
            ByteArrayOutputStream body = new ByteArrayOutputStream();
            for (int one = exchange.getRequestBody().read(); one >= 0; one = exchange.getRequestBody().read()) {
                body.write(one);
            }
            asked.add(exchange.getRequestMethod() + " " + exchange.getRequestURI() + " "
                    + exchange.getRequestHeaders().getFirst("Idempotency-Key") + " "
                    + exchange.getRequestHeaders().getFirst("Authorization") + " "
                    + new String(body.toByteArray(), StandardCharsets.UTF_8));
            Object[] next = answers.poll();
            int status = (Integer) next[0];
            byte[] text = ((String) next[1]).getBytes(StandardCharsets.UTF_8);
            boolean problem = status >= 400 && ((String) next[1]).startsWith("{");
            exchange.getResponseHeaders().add("Content-Type", problem ? "application/problem+json" : "application/json");
            if (status == 302) {
                exchange.getResponseHeaders().add("Location", "/elsewhere");
            }
            exchange.sendResponseHeaders(status, text.length == 0 ? -1 : text.length);
            exchange.getResponseBody().write(text);
            exchange.close();
        });
        server.start();
    }

    @AfterEach
    void close() {
        server.stop(0);
    }

    private Client client(Object... next) {
        for (int i = 0; i < next.length; i += 2) {
            answers.add(new Object[] {next[i], next[i + 1]});
        }
        return Client.of("http://127.0.0.1:" + server.getAddress().getPort() + "/").token("secret");
    }

    @Test
    void submission_is_repeated_with_its_id_until_it_is_answered() throws Exception {
        Client client = client(503, PASSING, 502, "bad gateway", 200, RECEIPT);
        Submission monday = Submission.create().id("monday").param("bucket", "photos").grid(Collections.singletonMap("slices", 2));
        Receipt receipt = client.submit("resize", monday);
        assertEquals("resize_r_1", receipt.run());
        assertEquals("opened", receipt.answer().get());
        String wanted = "POST /api/v1/jobs/resize/runs monday Bearer secret "
                + "{\"grid\":{\"slices\":2},\"params\":{\"bucket\":\"photos\"}}";
        assertEquals(Collections.nCopies(3, wanted), asked);
    }

    @ParameterizedTest
    @ValueSource(strings = {"Zürich", "订单 1", "two\nlines", " at the edge"})
    void id_that_no_header_may_have_is_said_in_the_body(String id) {
        client(200, RECEIPT).submit("resize", Submission.create().id(id).traceparent("a\nb"));
        String wanted = "POST /api/v1/jobs/resize/runs null Bearer secret {\"id\":" + Json.write(id) + "}";
        assertEquals(Collections.singletonList(wanted), asked);
    }

    @Test
    void id_that_is_left_out_is_made_by_chance_and_stays_the_same() {
        client(503, PASSING, 200, RECEIPT).submit("a b/c");
        assertEquals(2, asked.size());
        assertEquals(asked.get(0), asked.get(1));
        assertTrue(asked.get(0).matches("POST /api/v1/jobs/a%20b%2Fc/runs [0-9a-f-]{36} .*"), asked.get(0));
    }

    @Test
    void waiting_ends_with_the_run() throws Exception {
        Client client = client(200, RECEIPT, 404, NONE, 200, "{\"items\":[{\"run\":\"resize_r_1\"}]}", 200, RUNNING, 200,
                run("succeeded", "null"));
        Run run = client.await(client.submit("resize"), Duration.ofSeconds(50));
        assertTrue(run.isSucceeded());
        assertEquals(7, run.rows());
        assertEquals(Collections.singletonMap("bytes", 5L), run.counters());
        assertEquals(4, run.shards().get("done"));
    }

    @Test
    void run_that_fails_is_thrown_and_one_that_takes_too_long_likewise() {
        Client failed = client(200, run("failed", "\"no bucket\""));
        RunFailed error = assertThrows(RunFailed.class,
                () -> failed.await("resize_r_1", Duration.ofSeconds(50), run -> {}));
        assertEquals("run resize_r_1 failed: no bucket", error.getMessage());
        Client slow = client(200, RUNNING);
        assertThrows(TimeoutException.class, () -> slow.await("resize_r_1", Duration.ZERO, run -> {}));
        Client never = client(404, NONE, 200, "[]", 404, NONE);
        assertEquals("not-found",
                assertThrows(ApiException.class, () -> never.await("resize_r_1", Duration.ofSeconds(50), run -> {})).type());
    }

    @Test
    void what_is_refused_says_why_and_is_not_repeated() {
        Client client = client(422, "{\"type\":\"urn:gridloom:refused\",\"detail\":\"cannot be\",\"faults\":[\"a\",\"b\"]}");
        ApiException error = assertThrows(ApiException.class, () -> client.submit("resize"));
        assertEquals("refused", error.type());
        assertEquals(422, error.status());
        assertEquals("cannot be; a; b", error.getMessage());
        assertEquals(1, asked.size());
        assertEquals(401, assertThrows(ApiException.class, () -> client(401, "who?").show("r")).status());
    }

    @Test
    void nobody_is_followed_elsewhere_and_silence_has_an_end() {
        assertEquals(302, assertThrows(ApiException.class, () -> client(302, "").show("r")).status());
        assertEquals(1, asked.size());
        int port = server.getAddress().getPort();
        server.stop(0);
        Client client = Client.of("http://127.0.0.1:" + port).timeout(Duration.ofMillis(300));
        assertThrows(Unreachable.class, () -> client.show("r"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"127.0.0.1:7070", "ftp://127.0.0.1", "http://", "http://a:b@127.0.0.1", "http://127.0.0.1/?x=1", "a b"})
    void address_that_is_none_is_refused(String api) {
        assertThrows(IllegalArgumentException.class, () -> Client.of(api));
    }
}
