package gridloom;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** How a run stands. */
public final class Run {
    private final Map<String, Object> raw;

    Run(Map<String, Object> raw) {
        this.raw = raw;
    }

    /** Its id. */
    public String id() {
        return (String) raw.get("run");
    }

    /** The job's name. */
    public String job() {
        return (String) raw.get("job");
    }

    /** {@code running}, {@code succeeded}, {@code failed} or {@code cancelled}. */
    public String state() {
        return (String) raw.get("state");
    }

    /** Whether nothing follows by itself. */
    public boolean isOver() {
        return !"running".equals(state());
    }

    /** Whether every shard is committed. */
    public boolean isSucceeded() {
        return "succeeded".equals(state());
    }

    /** Rows of all shards that are done. */
    public long rows() {
        return raw.get("rows") instanceof Number ? ((Number) raw.get("rows")).longValue() : 0;
    }

    /** Counters of all shards that are done. */
    public Map<String, Long> counters() {
        return numbers("counters");
    }

    /** Shards by how they stand: {@code planned}, {@code done}, {@code dead}, {@code outstanding} and others. */
    public Map<String, Long> shards() {
        return numbers("shards");
    }

    /** The error that is on record. */
    public Optional<String> error() {
        return Optional.ofNullable((String) raw.get("error"));
    }

    /** All that was answered: docs/openapi.json has its form. */
    public Map<String, Object> raw() {
        return raw;
    }

    private Map<String, Long> numbers(String field) {
        Map<String, Long> numbers = new LinkedHashMap<>();
        if (raw.get(field) instanceof Map) {
            ((Map<?, ?>) raw.get(field)).forEach((name, n) -> {
                if (n instanceof Number) {
                    numbers.put((String) name, ((Number) n).longValue());
                }
            });
        }
        return numbers;
    }

    @Override
    public String toString() {
        return id() + " " + state() + " " + shards();
    }
}
