import gridloom.Handler;
import gridloom.Hold;
import gridloom.Pages;
import gridloom.Permanent;
import gridloom.Retry;
import gridloom.Shard;
import gridloom.Worker;
import java.time.Duration;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.atomic.AtomicLong;

/** The program of docs/SDK-TEST.md. */
public final class Conformance {
    /** With {@code sdk-test --attach} nobody says how many slots it has but itself. */
    private static final Worker WORKER =
            Worker.create().slots(Integer.parseInt(System.getenv().getOrDefault("SDK_TEST_SLOTS", "1")));
    /** The next number of the whole process. */
    private static final AtomicLong NUMBERS = new AtomicLong();

    private Conformance() {}

    private static String text(Shard shard, String name) {
        StringBuilder text = new StringBuilder();
        for (long n = shard.params().whole("times", 1); n > 0; n--) {
            text.append(shard.params().text(name));
        }
        return text.toString();
    }

    private static Duration after(Shard shard) {
        return Duration.ofMillis(shard.params().whole("after_ms"));
    }

    private static String shown(OptionalLong value) {
        return value.isPresent() ? Long.toString(value.getAsLong()) : "-";
    }

    private static String shown(Object value) {
        return value == null ? "-" : value.toString();
    }

    private static void begun(Shard shard) {
        System.out.println("begun " + shard.key());
    }

    private static void whatItTells() {
        WORKER.handler("where", shard -> shard.result(shard.run() + " " + shard.job() + " " + shard.handler() + " " + shard.slice()
                + " " + shard.slices() + " " + shard.page() + " " + shard.attempt() + " " + shard.fence() + " " + shard.key() + " "
                + shard.traceparent().orElse("-")));
        WORKER.handler("echo", shard -> shard.result(shard.params().toString()));
        WORKER.handler("settings", shard -> shard.result(shard.settings().toString()));
        WORKER.handler("bounds", shard -> shard.result(shown(shard.from()) + " " + shown(shard.to()) + " " + shown(shard.offset())
                + " " + shown(shard.limit())));
        WORKER.handler("owns", shard -> {
            StringBuilder owned = new StringBuilder();
            shard.params().texts("keys").forEach(key -> owned.append(shard.owns(key) ? '1' : '0'));
            shard.result(owned.toString());
        });
        WORKER.handler("deadline", shard -> {
            shard.result(shard.remaining().map(left -> Long.toString(left.toMillis())).orElse("-"));
            Thread.sleep(shard.params().whole("ms", 0));
        });
    }

    private static void whatItIsTold() {
        WORKER.handler("ok", shard -> {});
        WORKER.handler("rows", shard -> shard.rows(shard.params().whole("rows")));
        WORKER.handler("count", shard -> {
            for (Map.Entry<String, Object> counter : shard.params().table("counters").asMap().entrySet()) {
                shard.count(counter.getKey(), (Long) counter.getValue());
            }
        });
        WORKER.handler("result", shard -> shard.result(text(shard, "text")));
        WORKER.handler("retry", fails(shard -> new Retry(text(shard, "error"))));
        WORKER.handler("retry-after", fails(shard -> new Retry(after(shard), text(shard, "error"))));
        WORKER.handler("permanent", fails(shard -> new Permanent(text(shard, "error"))));
        WORKER.handler("hold", fails(shard -> new Hold(after(shard), text(shard, "error"))));
        WORKER.handler("throw", fails(shard -> new IllegalStateException(text(shard, "error"))));
        WORKER.handler("bad-text", fails(shard -> new Retry("half \ud800")));
        WORKER.handler("print", shard -> {
            System.out.println(shard.params().text("text"));
            System.err.println(shard.params().text("text"));
        });
    }

    private static Handler fails(java.util.function.Function<Shard, RuntimeException> how) {
        return shard -> {
            throw how.apply(shard);
        };
    }

    private static void howItEnds() {
        WORKER.handler("exit", shard -> Runtime.getRuntime().halt(3));
        WORKER.handler("leave", shard -> WORKER.stop());
        WORKER.handler("until-stopped", shard -> {
            if (shard.params().whole("only", shard.page()) != shard.page()) {
                return;
            }
            shard.rows(shard.params().whole("rows", 0));
            begun(shard);
            while (true) {
                shard.check();
                Thread.sleep(5);
            }
        });
        WORKER.handler("ignore-stop", shard -> {
            begun(shard);
            long end = System.nanoTime() + shard.params().whole("ms") * 1_000_000;
            for (long left = end - System.nanoTime(); left > 0; left = end - System.nanoTime()) {
                try {
                    Thread.sleep(left / 1_000_000 + 1);
                } catch (InterruptedException deaf) {
                    // As a handler may that does not know better.
                }
            }
        });
        WORKER.handler("span", shard -> {
            long first = NUMBERS.incrementAndGet();
            Thread.sleep(shard.params().whole("ms", 0));
            shard.result(first + " " + NUMBERS.incrementAndGet());
        });
    }

    private static void pages(String name, Pages pages) {
        WORKER.handler(name, shard -> {}).pages(name, pages);
    }

    public static void main(String[] args) {
        whatItTells();
        whatItIsTold();
        howItEnds();
        pages("pages", probe -> {
            long last = probe.params().whole("last");
            long size = probe.params().whole("size");
            for (long first = probe.after(0) + 1; first <= last; first += size) {
                if (!probe.page(first, Math.min(first + size - 1, last))) {
                    return;
                }
            }
        });
        pages("pages-text", probe -> {
            for (String[] page : new String[][] {{"a", "b"}, {"c", "é"}, {"日本", "日本語"}}) {
                if (page[0].compareTo(probe.after("")) > 0) {
                    probe.page(page[0], page[1]);
                }
            }
        });
        pages("pages-fail", probe -> {
            throw new Permanent("no such table");
        });
        WORKER.run();
    }
}
