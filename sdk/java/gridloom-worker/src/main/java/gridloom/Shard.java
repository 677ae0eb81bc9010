package gridloom;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalLong;

/** One cell of the grid, in the hands of its handler. Threads of a handler may share it. */
public class Shard extends Attempt {
    /** What the ledger has room for, a shard. */
    private static final int COUNTERS_MAX = 16;
    private static final int COUNTER_NAME_MAX = 48;
    private static final int RESULT_MAX = 1024;

    private long rows;
    /** What went beyond 64 bits, or made rows fewer. */
    private String fault;
    private Map<String, Long> counters;
    private String result;

    Shard(Tile tile, Map<String, Object> said) {
        super(tile, said);
    }

    /** Whether the page has a first and a last key: where pages were probed. */
    public boolean hasBounds() {
        return field("from") != null && field("to") != null;
    }

    /** First key of the page, inside it, a {@code Long} or a {@code String}; {@code null} where pages were not probed. */
    public Object from() {
        return hasBounds() ? field("from") : null;
    }

    /** Last key of the page, likewise. */
    public Object to() {
        return hasBounds() ? field("to") : null;
    }

    /** First key of the page, inside it, where keys are whole numbers. */
    public long fromNumber() {
        return bound(Long.class, "from", "whole numbers");
    }

    /** Last key of the page, inside it, where keys are whole numbers. */
    public long toNumber() {
        return bound(Long.class, "to", "whole numbers");
    }

    /** First key of the page, inside it, where keys are texts. */
    public String fromText() {
        return bound(String.class, "from", "texts");
    }

    /** Last key of the page, inside it, where keys are texts. */
    public String toText() {
        return bound(String.class, "to", "texts");
    }

    private <T> T bound(Class<T> kind, String field, String what) {
        Object key = field(field);
        if (key == null) {
            throw new Permanent("this page has no bounds: its job needs pages = { probe = true }");
        }
        if (!kind.isInstance(key)) {
            throw new Permanent("the keys of this page are no " + what);
        }
        return kind.cast(key);
    }

    /** Rows of the slice before the page, where the grid has rows. */
    public OptionalLong offset() {
        return position("offset");
    }

    /** Rows of the page, where the grid has rows; empty beside an offset: to the end of the slice. */
    public OptionalLong limit() {
        return position("limit");
    }

    private OptionalLong position(String field) {
        Object found = field(field);
        return found instanceof Long ? OptionalLong.of((Long) found) : OptionalLong.empty();
    }

    /** Counts one more row. What is said here counts only if the attempt succeeds. */
    public void rows() {
        rows(1);
    }

    /** Counts {@code n} more rows. */
    public void rows(long n) {
        if (n < 0) {
            throw new IllegalArgumentException("rows only become more: " + n);
        }
        add("rows", n);
    }

    /** Adds one to the counter {@code name}: at most 48 bytes, and 16 counters a shard, {@code rows} among them. */
    public void count(String name) {
        count(name, 1);
    }

    /** Adds {@code n} to the counter {@code name}. */
    public void count(String name, long n) {
        add(java.util.Objects.requireNonNull(name, "a counter has a name"), n);
    }

    private synchronized void add(String name, long n) {
        boolean isRows = name.equals("rows");
        if (!isRows && counters == null) {
            counters = new LinkedHashMap<>();
        }
        long before = isRows ? rows : counters.getOrDefault(name, 0L);
        long after = before + n;
        if (((before ^ after) & (n ^ after)) < 0) {
            fault = "counter \"" + name + "\" of one shard goes beyond 64 bits: count in a larger unit";
        }
        if (isRows) {
            rows = after;
        } else {
            counters.put(name, after);
        }
    }

    /** A small result, at most 1 KiB: a text, or what becomes one as JSON. The last one counts. */
    public synchronized void result(Object value) {
        result = value instanceof String ? (String) value : Json.write(value);
    }

    /** Rows so far, for whoever looks on. */
    synchronized long rowsSoFar() {
        return rows;
    }

    synchronized Map<String, Long> counters() {
        return counters == null ? new LinkedHashMap<>() : new LinkedHashMap<>(counters);
    }

    synchronized String result() {
        return result;
    }

    /** What was said that the ledger has no room for; {@code null}: nothing. */
    synchronized String fault() {
        if (fault != null) {
            return fault;
        }
        if (rows < 0) {
            return rows + " rows: rows only become more";
        }
        if (counters != null) {
            for (String name : counters.keySet()) {
                int size = name.getBytes(StandardCharsets.UTF_8).length;
                if (size == 0 || size > COUNTER_NAME_MAX) {
                    return "counter name \"" + name.substring(0, Math.min(100, name.length())) + "\" must have 1 to "
                            + COUNTER_NAME_MAX + " bytes";
                }
            }
            if (counters.size() >= COUNTERS_MAX) {
                return counters.size() + " counters beside the rows, " + (COUNTERS_MAX - 1)
                        + " are the most that a shard may have";
            }
        }
        int size = result == null ? 0 : result.getBytes(StandardCharsets.UTF_8).length;
        if (size > RESULT_MAX) {
            return "result of " + size + " bytes is longer than " + RESULT_MAX + ": store it elsewhere";
        }
        return null;
    }

    /** What the engine is told of its success. */
    synchronized String done() {
        StringBuilder out = new StringBuilder(48).append("{\"id\":").append(id);
        if (rows != 0) {
            out.append(",\"rows\":").append(rows);
        }
        if (counters != null) {
            Json.write(out.append(",\"counters\":"), counters);
        }
        if (result != null) {
            Json.write(out.append(",\"result\":"), result);
        }
        return out.append('}').toString();
    }
}
