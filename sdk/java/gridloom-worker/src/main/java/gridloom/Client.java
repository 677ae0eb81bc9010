package gridloom;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UnsupportedEncodingException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;

/** Starts runs and looks at them, over a planner's HTTP API. May be used by several threads. */
public final class Client {
    /** Where a planner answers when nobody says otherwise. */
    private static final String API_DEFAULT = "http://127.0.0.1:7070";
    /** Problems after which the same request may be sent again: it was not done, or doing it twice does no harm. */
    private static final List<String> PASSING =
            Collections.unmodifiableList(java.util.Arrays.asList("unavailable", "timed-out", "unknown"));
    /** Pauses of {@link #await} between two looks. */
    private static final long LOOK_FIRST_MS = 100;
    private static final long LOOK_LAST_MS = 2_000;

    private final String base;
    private String token;
    private Duration timeout = Duration.ofSeconds(30);
    private SSLContext tls;

    private Client(String api) {
        URI address;
        try {
            address = URI.create(api);
        } catch (IllegalArgumentException error) {
            throw new IllegalArgumentException(api + " is no address of an API: write it as " + API_DEFAULT, error);
        }
        boolean known = "http".equals(address.getScheme()) || "https".equals(address.getScheme());
        if (!known || address.getHost() == null) {
            throw new IllegalArgumentException(api + " is no address of an API: write it as " + API_DEFAULT);
        }
        if (address.getUserInfo() != null || address.getQuery() != null || address.getFragment() != null) {
            throw new IllegalArgumentException(
                    "the address of an API holds neither a password nor a query: say token(...) beside it");
        }
        String path = address.getPath().replaceAll("/+$", "");
        base = address.getScheme() + "://" + address.getRawAuthority() + (path.endsWith("/api/v1") ? path : path + "/api/v1");
        // In a child of a worker the variable holds what that one knows it by.
        token = Worker.isChild() ? null : System.getenv("GRIDLOOM_TOKEN");
    }

    /** Of the planner that the variable {@code GRIDLOOM_API} names; without it, {@code http://127.0.0.1:7070}. */
    public static Client create() {
        String said = System.getenv("GRIDLOOM_API");
        return of(said == null || said.isEmpty() ? API_DEFAULT : said);
    }

    /** Of the planner at this address, as {@code gridloom dev} prints it. */
    public static Client of(String api) {
        return new Client(api);
    }

    /** A token of {@code gridloom token}; left out, what the variable {@code GRIDLOOM_TOKEN} holds. */
    public Client token(String token) {
        this.token = token;
        return this;
    }

    /** How long one request may take, with its repetitions: 30 s unless it is said. */
    public Client timeout(Duration timeout) {
        this.timeout = timeout;
        return this;
    }

    /** Whose certificates are believed. */
    public Client tls(SSLContext tls) {
        this.tls = tls;
        return this;
    }

    /** Starts a run of {@code job}. */
    public Receipt submit(String job) {
        return submit(job, Submission.create());
    }

    /** Starts a run of {@code job}. */
    public Receipt submit(String job, Submission submission) {
        Map<String, String> headers = new LinkedHashMap<>();
        Map<String, Object> body = submission.body();
        if (fitsAHeader(submission.request())) {
            headers.put("Idempotency-Key", submission.request());
        } else {
            body.put("id", submission.request());
        }
        if (submission.traceparent() != null && fitsAHeader(submission.traceparent())) {
            headers.put("traceparent", submission.traceparent());
        }
        Map<String, Object> raw = call("POST", "/jobs/" + part(job) + "/runs", body, headers);
        return new Receipt(raw, submission.request());
    }

    /** How a run stands. */
    public Run show(String run) {
        return new Run(call("GET", "/runs/" + part(run)));
    }

    /**
     * Waits until the run has ended.
     *
     * @throws RunFailed where it did not succeed
     */
    public Run await(Receipt receipt) throws InterruptedException {
        try {
            return await(receipt.run(), !receipt.answer().isPresent(), Long.MAX_VALUE, run -> {});
        } catch (TimeoutException never) {
            throw new IllegalStateException(never);
        }
    }

    /**
     * Waits until the run has ended.
     *
     * @throws RunFailed where it did not succeed
     * @throws TimeoutException where it has not ended after so long
     */
    public Run await(Receipt receipt, Duration atMost) throws InterruptedException, TimeoutException {
        return await(receipt.run(), !receipt.answer().isPresent(), atMost.toNanos(), run -> {});
    }

    /** Likewise of any run, by its id; {@code progress} is told at each look. One that waits to be opened is waited for, too. */
    public Run await(String run, Duration atMost, Consumer<Run> progress) throws InterruptedException, TimeoutException {
        return await(run, false, atMost.toNanos(), progress);
    }

    private Run await(String name, boolean patient, long atMostNs, Consumer<Run> progress)
            throws InterruptedException, TimeoutException {
        long began = System.nanoTime();
        long pauseMs = LOOK_FIRST_MS;
        while (true) {
            Run run = look(name, patient);
            if (run != null) {
                progress.accept(run);
                if (run.isOver()) {
                    if (!run.isSucceeded()) {
                        throw new RunFailed(run);
                    }
                    return run;
                }
            }
            long leftMs = TimeUnit.NANOSECONDS.toMillis(atMostNs - (System.nanoTime() - began));
            if (leftMs <= 0) {
                throw new TimeoutException("run " + (run == null ? name + " is not opened yet" : run.toString()));
            }
            Thread.sleep(Math.min(pauseMs, leftMs));
            pauseMs = Math.min(pauseMs * 3 / 2, LOOK_LAST_MS);
        }
    }

    /** {@code null}: it waits to be opened. */
    private Run look(String run, boolean patient) {
        try {
            return show(run);
        } catch (ApiException error) {
            if (!error.type().equals("not-found")) {
                throw error;
            }
            if (patient || waits(run)) {
                return null;
            }
            // It may have been opened between the two questions.
            return show(run);
        }
    }

    private boolean waits(String run) {
        Object items = call("GET", "/runs/waiting?job=" + part(run.split("_")[0])).get("items");
        if (items instanceof List) {
            for (Object item : (List<?>) items) {
                if (item instanceof Map && run.equals(((Map<?, ?>) item).get("run"))) {
                    return true;
                }
            }
        }
        return false;
    }

    /** Any request of the API (docs/API.md) that has no body: {@code call("POST", "/runs/RUN/cancel")}. */
    public Map<String, Object> call(String method, String path) {
        return call(method, path, null, Collections.emptyMap());
    }

    /**
     * Any request of the API. Passing troubles are tried again until {@link #timeout}; what changes something should say
     * {@code Idempotency-Key} or be harmless twice. A list is told as {@code items}.
     */
    public Map<String, Object> call(String method, String path, Map<String, ?> body, Map<String, String> headers) {
        long end = System.nanoTime() + timeout.toNanos();
        long pauseMs = 100;
        while (true) {
            long leftMs = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
            RuntimeException passing;
            try {
                return once(method, path, body, headers, Math.max(leftMs, 50));
            } catch (ApiException error) {
                if (!PASSING.contains(error.type())) {
                    throw error;
                }
                passing = error;
            } catch (Unreachable error) {
                passing = error;
            }
            if (TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime()) <= pauseMs) {
                throw passing;
            }
            try {
                // By chance, so that many that were cut off at once do not come back at once.
                Thread.sleep(pauseMs / 2 + ThreadLocalRandom.current().nextLong(pauseMs / 2));
            } catch (InterruptedException asked) {
                Thread.currentThread().interrupt();
                throw passing;
            }
            pauseMs = Math.min(pauseMs * 2, 2_000);
        }
    }

    private Map<String, Object> once(String method, String path, Map<String, ?> body, Map<String, String> headers, long ms) {
        byte[] sent = body == null ? null : Json.write(body).getBytes(StandardCharsets.UTF_8);
        try {
            HttpURLConnection connection = (HttpURLConnection) URI.create(base + path).toURL().openConnection();
            if (tls != null && connection instanceof HttpsURLConnection) {
                ((HttpsURLConnection) connection).setSSLSocketFactory(tls.getSocketFactory());
            }
            // An API never redirects; whoever does gets no token of ours.
            connection.setInstanceFollowRedirects(false);
            connection.setConnectTimeout((int) Math.min(ms, Integer.MAX_VALUE));
            connection.setReadTimeout((int) Math.min(ms, Integer.MAX_VALUE));
            connection.setRequestMethod(method);
            connection.setRequestProperty("Accept", "application/json");
            headers.forEach(connection::setRequestProperty);
            if (token != null && !token.isEmpty()) {
                connection.setRequestProperty("Authorization", "Bearer " + token);
            }
            if (sent != null) {
                connection.setRequestProperty("Content-Type", "application/json");
                connection.setDoOutput(true);
                try (OutputStream out = connection.getOutputStream()) {
                    out.write(sent);
                }
            }
            return answered(connection);
        } catch (IOException error) {
            throw new Unreachable("no answer of " + base + ": " + error, error);
        }
    }

    private Map<String, Object> answered(HttpURLConnection connection) throws IOException {
        int status = connection.getResponseCode();
        if (status >= 200 && status < 300) {
            try (InputStream in = connection.getInputStream()) {
                return table(text(in), status);
            }
        }
        String type = connection.getContentType();
        if (type == null || !type.startsWith("application/problem+json")) {
            // A proxy's own answers: passing ones are tried again, the others are told as they are.
            if (status == 502 || status == 503 || status == 504) {
                throw new Unreachable(base + " answers " + status, null);
            }
            Map<String, Object> problem =
                    Collections.singletonMap("detail", base + " answers " + status + " and no problem: is it a planner?");
            throw ApiException.of(problem, status);
        }
        try (InputStream in = connection.getErrorStream()) {
            throw ApiException.of(table(in == null ? "" : text(in), status), status);
        }
    }

    @SuppressWarnings("unchecked")
    private Map<String, Object> table(String text, int status) {
        if (text.isEmpty()) {
            return Collections.emptyMap();
        }
        Object value;
        try {
            value = Json.read(text);
        } catch (IllegalArgumentException error) {
            throw new Unreachable(base + " answers " + status + " with something else than JSON: is it a planner?", error);
        }
        return value instanceof Map ? (Map<String, Object>) value : Collections.singletonMap("items", value);
    }

    private static String text(InputStream in) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] some = new byte[8_192];
        for (int n = in.read(some); n >= 0; n = in.read(some)) {
            all.write(some, 0, n);
        }
        return new String(all.toByteArray(), StandardCharsets.UTF_8);
    }

    /** Whether a header says exactly this: visible signs of ASCII, with blanks between them alone. Java makes question marks of others. */
    private static boolean fitsAHeader(String text) {
        return text.matches("[!-~]([ -~]*[!-~])?");
    }

    private static String part(String name) {
        try {
            return URLEncoder.encode(name, "UTF-8").replace("+", "%20");
        } catch (UnsupportedEncodingException never) {
            throw new IllegalStateException(never);
        }
    }
}
