package gridloom;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import java.util.regex.Pattern;

/** What a worker can do: handlers and their probes by name. */
final class Handlers {
    private static final Pattern NAME = Pattern.compile("[a-z0-9-]{1,48}");
    private static final int MOST = 64;

    final Map<String, Handler> runs = new LinkedHashMap<>();
    final Map<String, Pages> pages = new LinkedHashMap<>();

    void add(String name, Handler handler) {
        if (name == null || !NAME.matcher(name).matches()) {
            throw new IllegalArgumentException(
                    "handler \"" + name + "\": a name has 1 to 48 of a-z, 0-9 and -, as a job file says it");
        }
        Objects.requireNonNull(handler, () -> "handler " + name + " is null");
        if (runs.putIfAbsent(name, handler) != null) {
            throw new IllegalArgumentException("handler " + name + " is there already");
        }
    }

    void addPages(String name, Pages probe) {
        Objects.requireNonNull(probe, () -> "the pages of handler " + name + " are null");
        if (pages.putIfAbsent(name, probe) != null) {
            throw new IllegalArgumentException("handler " + name + " has its pages already");
        }
    }

    /** Refuses what could not work. */
    void check() {
        if (runs.isEmpty()) {
            throw new IllegalStateException("a worker without handlers: say handler(\"NAME\", shard -> { ... }) before run()");
        }
        if (runs.size() > MOST) {
            throw new IllegalStateException(runs.size() + " handlers, " + MOST + " are the most of one worker");
        }
        TreeSet<String> lost = new TreeSet<>(pages.keySet());
        lost.removeAll(runs.keySet());
        if (!lost.isEmpty()) {
            throw new IllegalStateException("pages of " + lost + ", which are no handlers of this worker");
        }
    }
}
