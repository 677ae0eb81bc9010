package gridloom;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * Values of a job: its {@code [params]} with the submission's over them, or the table that is called like the handler.
 *
 * <p>What is not there or is of another kind fails the shard for good ({@link Permanent}), with what would help: another attempt
 * would find the same.
 */
public final class Params {
    private final String name;
    private final Object value;

    Params(String name, Object value) {
        this.name = name;
        this.value = value == null ? Collections.emptyMap() : value;
    }

    /** All of it: {@code Map}, {@code List}, {@code String}, {@code Long}, {@code Double}, {@code Boolean}. It cannot be changed. */
    public Object value() {
        return value;
    }

    /** All of it, by name. */
    @SuppressWarnings("unchecked")
    public Map<String, Object> asMap() {
        if (!(value instanceof Map)) {
            throw new Permanent(name + " is no table");
        }
        return (Map<String, Object>) value;
    }

    /** Whether there is something of this name. */
    public boolean has(String key) {
        return get(key) != null;
    }

    /** One value as it is; {@code null} where there is none. */
    public Object get(String key) {
        return asMap().get(key);
    }

    /** A text. */
    public String text(String key) {
        return is(String.class, key, there(key), "a text");
    }

    /** A text, or {@code other} where there is none. */
    public String text(String key, String other) {
        return has(key) ? text(key) : other;
    }

    /** A whole number. */
    public long whole(String key) {
        return is(Long.class, key, there(key), "a whole number of 64 bits");
    }

    /** A whole number, or {@code other} where there is none. */
    public long whole(String key, long other) {
        return has(key) ? whole(key) : other;
    }

    /** Any number. */
    public double number(String key) {
        return is(Number.class, key, there(key), "a number").doubleValue();
    }

    /** Any number, or {@code other} where there is none. */
    public double number(String key, double other) {
        return has(key) ? number(key) : other;
    }

    /** True or false. */
    public boolean flag(String key) {
        return is(Boolean.class, key, there(key), "true or false");
    }

    /** True or false, or {@code other} where there is none. */
    public boolean flag(String key, boolean other) {
        return has(key) ? flag(key) : other;
    }

    /** A list of texts; empty where there is none. */
    public List<String> texts(String key) {
        List<String> texts = new ArrayList<>();
        if (has(key)) {
            for (Object one : is(List.class, key, get(key), "a list")) {
                texts.add(is(String.class, key, one, "a list of texts"));
            }
        }
        return texts;
    }

    /** A table inside; empty where there is none. */
    public Params table(String key) {
        Object found = get(key);
        return new Params(name + "." + key, found == null ? null : is(Map.class, key, found, "a table"));
    }

    private Object there(String key) {
        Object found = get(key);
        if (found == null) {
            throw new Permanent(name + "." + key + " is missing: say it in the job file"
                    + (name.equals("params") ? ", or with --param " + key + "=..." : ""));
        }
        return found;
    }

    private <T> T is(Class<T> kind, String key, Object found, String what) {
        if (!kind.isInstance(found)) {
            throw new Permanent(name + "." + key + " is " + Json.write(found) + ": " + what + " should be there");
        }
        return kind.cast(found);
    }

    @Override
    public String toString() {
        return Json.write(value);
    }
}
