package gridloom;

import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Runs a handler without a broker: one shard, all shards of a small grid, or a probe.
 *
 * <pre>{@code
 * Whole whole = Testing.of(resize).param("bucket", "photos").slices(4).runAll().check();
 * assertEquals(120, whole.rows());
 * }</pre>
 */
public final class Testing {
    /** What one answer to a probe has room for, at a broker as it comes. */
    private static final long ROOM = 786_432;
    private static final int PAGES_MAX = 4_096;

    private final Handler handler;
    private final Map<String, Object> tile = new LinkedHashMap<>();
    private final Map<String, Object> shard = new LinkedHashMap<>();
    private final Map<String, Object> params = new LinkedHashMap<>();
    private final Map<String, Object> settings = new LinkedHashMap<>();
    private int checks = -1;
    private String why;
    private int pages = 1;
    private Pages probe;
    private long room = ROOM;
    private int pagesMax = PAGES_MAX;

    private Testing(Handler handler) {
        this.handler = handler;
        tile.put("run", "test_r_test");
        tile.put("job", "test");
        tile.put("handler", "test");
        tile.put("nonce", "00000000000000ff");
        tile.put("slice", 0L);
        tile.put("slices", 1L);
        tile.put("attempt", 1L);
        tile.put("fence", 1L);
        shard.put("id", 1L);
        shard.put("page", 0L);
    }

    /** Of a handler. */
    public static Testing of(Handler handler) {
        return new Testing(handler);
    }

    /** A parameter. */
    public Testing param(String name, Object value) {
        // Through JSON, as in earnest: there an int is a whole number, too.
        params.put(name, Json.read(Json.write(value)));
        return this;
    }

    /** A value of the table that is called like the handler. */
    public Testing setting(String name, Object value) {
        settings.put(name, Json.read(Json.write(value)));
        return this;
    }

    /** The job's name. */
    public Testing job(String name) {
        tile.put("job", name);
        return this;
    }

    /** Which slice, from 0. */
    public Testing slice(int slice) {
        tile.put("slice", (long) slice);
        return this;
    }

    /** How many slices the grid has. */
    public Testing slices(int slices) {
        tile.put("slices", (long) slices);
        return this;
    }

    /** Which page, from 0. */
    public Testing page(int page) {
        shard.put("page", (long) page);
        return this;
    }

    /** First and last key of the page. */
    public Testing bounds(long from, long to) {
        shard.put("from", from);
        shard.put("to", to);
        return this;
    }

    /** First and last key of the page. */
    public Testing bounds(String from, String to) {
        shard.put("from", from);
        shard.put("to", to);
        return this;
    }

    /** Rows before the page and in it. */
    public Testing rows(long offset, long limit) {
        shard.put("offset", offset);
        shard.put("limit", limit);
        return this;
    }

    /** Number of the attempt. */
    public Testing attempt(int attempt) {
        tile.put("attempt", (long) attempt);
        return this;
    }

    /** How long it may take. */
    public Testing timeout(Duration timeout) {
        tile.put("timeout_ms", timeout.toMillis());
        return this;
    }

    /** So many calls of {@code check()} go well, the next one says that it is to stop: its lease is lost. */
    public Testing stopAfterChecks(int checks) {
        return stopAfterChecks(checks, "lease");
    }

    /** Likewise, because of {@code lease}, {@code cancelled}, {@code time} or {@code stopping}. */
    public Testing stopAfterChecks(int checks, String why) {
        this.checks = checks;
        this.why = why;
        return this;
    }

    /** How many pages each slice has, for {@link #runAll}. */
    public Testing pages(int pages) {
        this.pages = pages;
        return this;
    }

    /** What finds the pages of each slice, for {@link #runAll} and {@link #probe}. */
    public Testing pages(Pages probe) {
        this.probe = probe;
        return this;
    }

    /** How many pages one answer of a probe may have, and how many bytes their keys may take. */
    public Testing room(int pagesMax, long bytes) {
        this.pagesMax = pagesMax;
        room = bytes;
        return this;
    }

    private Tile tile() {
        long slice = (Long) tile.get("slice");
        long slices = (Long) tile.get("slices");
        if (slice < 0 || slice >= slices) {
            throw new IllegalArgumentException("slice " + slice + " of " + slices + ": slices are numbered from 0");
        }
        tile.put("params", params);
        tile.put("settings", settings);
        return new Tile(tile);
    }

    /** Runs the handler on this shard. */
    public Outcome run() {
        Watched made = new Watched(tile(), shard, checks, why);
        made.begin();
        Throwable thrown = null;
        try {
            handler.run(made);
        } catch (Exception | Stopped | AssertionError error) {
            thrown = error;
        } finally {
            made.end();
        }
        return new Outcome(made, thrown);
    }

    /** Runs the handler on each shard of the grid, one after the other: so many pages a slice, or those that a probe finds. */
    public Whole runAll() {
        List<Outcome> outcomes = new ArrayList<>();
        long slices = (Long) tile.get("slices");
        for (int slice = 0; slice < slices; slice++) {
            slice(slice);
            if (probe == null) {
                for (int page = 0; page < pages; page++) {
                    outcomes.add(page(page).run());
                }
                continue;
            }
            int page = 0;
            for (List<Object> bounds : probe()) {
                shard.put("from", bounds.get(0));
                shard.put("to", bounds.get(1));
                outcomes.add(page(page++).run());
            }
        }
        return new Whole(outcomes);
    }

    /** Asks for the pages of this slice until there are no more, as the engine does; throws what the engine would refuse. */
    public List<List<Object>> probe() {
        List<List<Object>> found = new ArrayList<>();
        Object after = null;
        for (long number = 0; number < 1_000_000; number++) {
            Map<String, Object> said = new LinkedHashMap<>();
            said.put("id", 1L);
            said.put("page", number);
            said.put("after", after);
            said.put("room", room);
            said.put("pages_max", (long) pagesMax);
            Probe asked = new Probe(tile(), said);
            try {
                probe.find(asked);
            } catch (RuntimeException error) {
                throw error;
            } catch (Exception error) {
                throw new AssertionError("the probe failed: " + error, error);
            }
            found.addAll(asked.found());
            after = asked.cursor();
            if (after == null) {
                return found;
            }
        }
        throw new AssertionError("a probe that finds no end: does it heed probe.after()?");
    }

    /** A shard whose checks are counted. */
    private static final class Watched extends Shard {
        private int left;
        private final String why;

        Watched(Tile tile, Map<String, Object> said, int checks, String why) {
            super(tile, said);
            left = checks;
            this.why = why;
        }

        @Override
        public void check() {
            if (left == 0) {
                stop(why);
            }
            if (left >= 0) {
                left--;
            }
            super.check();
        }
    }
}
