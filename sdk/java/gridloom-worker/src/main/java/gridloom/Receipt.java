package gridloom;

import java.util.Map;
import java.util.Optional;

/** A submission that is stored: it will be a run, whatever crashes. */
public final class Receipt {
    private final Map<String, Object> raw;
    private final String request;

    Receipt(Map<String, Object> raw, String request) {
        this.raw = raw;
        this.request = request;
    }

    /** The run that it is, or will be. */
    public String run() {
        return (String) raw.get("run");
    }

    /** The job's name. */
    public String job() {
        return (String) raw.get("job");
    }

    /** The request's id: the same one never makes a second run. */
    public String id() {
        return raw.get("id") instanceof String ? (String) raw.get("id") : request;
    }

    /** {@code opened}, {@code exists}, {@code purged} or {@code queued}; empty: no planner has said so yet. */
    public Optional<String> answer() {
        return Optional.ofNullable((String) raw.get("answer"));
    }

    /** All that was answered. */
    public Map<String, Object> raw() {
        return raw;
    }

    @Override
    public String toString() {
        return run() + " (" + answer().orElse("not answered yet") + ")";
    }
}
