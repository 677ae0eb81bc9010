package gridloom;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;

/** What is said of a run that is to be started. Left out, the job says it. */
public final class Submission {
    private String id;
    private String traceparent;
    private final Map<String, Object> body = new LinkedHashMap<>();
    private final Map<String, Object> params = new LinkedHashMap<>();

    /** Nothing yet. */
    public static Submission create() {
        return new Submission();
    }

    private Submission() {}

    /**
     * The same id never makes a second run. Left out, one is made by chance, so that a request that is repeated after a lost answer
     * starts nothing twice.
     */
    public Submission id(String id) {
        this.id = id;
        return this;
    }

    /** A parameter over the job's: text, number, boolean, {@code Map} or {@code Collection}. */
    public Submission param(String name, Object value) {
        params.put(name, value);
        return this;
    }

    /** Parameters over the job's. */
    public Submission params(Map<String, ?> all) {
        params.putAll(all);
        return this;
    }

    /** Another grid than the job's, as a job file has it: {@code {"slices": 4}}. */
    public Submission grid(Map<String, ?> grid) {
        body.put("grid", grid);
        return this;
    }

    /** What becomes of it while another run of the job is open: {@code skip}, {@code queue_one}, ... */
    public Submission overlap(String policy) {
        body.put("overlap", policy);
        return this;
    }

    /** The trace that the run is a part of. */
    public Submission traceparent(String traceparent) {
        this.traceparent = traceparent;
        return this;
    }

    String request() {
        if (id == null) {
            id = UUID.randomUUID().toString();
        }
        return id;
    }

    String traceparent() {
        return traceparent;
    }

    Map<String, Object> body() {
        Map<String, Object> all = new LinkedHashMap<>(body);
        if (!params.isEmpty()) {
            all.put("params", params);
        }
        return all;
    }
}
