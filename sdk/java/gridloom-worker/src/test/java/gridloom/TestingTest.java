package gridloom;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.UndeclaredThrowableException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;

/** Handlers without a broker; what a shard tells and what it may say; which pages can be believed. */
final class TestingTest {
    private static Outcome run(Handler handler) {
        return Testing.of(handler).run();
    }

    @Test
    void shard_tells_its_cell_and_its_values() {
        Handler handler = shard -> {
            assertEquals("00000000000000ff-3-2", shard.key());
            assertEquals("photos", shard.params().text("bucket"));
            assertEquals(7, shard.params().whole("width"));
            assertEquals(1.5, shard.params().number("scale"));
            assertEquals("other", shard.params().text("absent", "other"));
            assertEquals(Arrays.asList("a", "b"), shard.params().texts("list"));
            assertEquals("x", shard.settings().text("level"));
            assertEquals(9, shard.fromNumber());
            assertEquals(12, shard.toNumber());
            assertTrue(shard.hasBounds() && shard.deadline().isPresent());
            assertFalse(shard.offset().isPresent() || shard.traceparent().isPresent());
        };
        Testing.of(handler).param("bucket", "photos").param("width", 7).param("scale", 1.5).param("list", Arrays.asList("a", "b"))
                .setting("level", "x").slice(3).slices(16).page(2).bounds(9, 12).timeout(Duration.ofSeconds(5)).run().check();
    }

    @Test
    void value_that_is_missing_or_of_another_kind_fails_for_good_with_what_would_help() {
        Outcome missing = run(shard -> shard.params().text("bucket"));
        assertEquals("permanent", missing.kind());
        assertTrue(missing.error().get().contains("--param bucket="), missing.toString());
        Outcome other = Testing.of(shard -> shard.params().whole("width")).param("width", "wide").run();
        assertEquals("params.width is \"wide\": a whole number of 64 bits should be there", other.error().get());
        assertEquals("permanent", run(shard -> shard.fromNumber()).kind());
    }

    @Test
    void each_slice_has_its_own_keys_and_together_they_have_all() {
        Handler handler = shard -> {
            for (int n = 0; n < 1_000; n++) {
                if (shard.owns(n)) {
                    shard.rows();
                    shard.count("even", n % 2 == 0 ? 1 : 0);
                }
            }
            shard.result(Collections.singletonMap("slice", shard.slice()));
        };
        Whole whole = Testing.of(handler).slices(4).runAll().check();
        assertEquals(1_000, whole.rows());
        assertEquals(Collections.singletonMap("even", 500L), whole.counters());
        assertEquals("{\"slice\":3}", whole.outcomes().get(3).result().get());
        assertEquals(8, Testing.of(handler).slices(4).pages(2).runAll().outcomes().size());
    }

    @Test
    void exceptions_say_what_follows() {
        Exception cause = new IllegalStateException("no bucket");
        assertEquals("java.lang.IllegalStateException: no bucket", run(shard -> {
            throw cause;
        }).error().get());
        Outcome retry = run(shard -> {
            throw new Retry(Duration.ofSeconds(5), "HTTP 503", cause);
        });
        assertEquals("retry", retry.kind());
        assertEquals(Duration.ofSeconds(5), retry.after().get());
        assertEquals("HTTP 503: java.lang.IllegalStateException: no bucket", retry.error().get());
        Outcome hold = run(shard -> {
            throw new Hold(Duration.ofDays(90), "HTTP 429");
        });
        assertEquals("hold", hold.kind());
        assertEquals(Duration.ofDays(30), hold.after().get());
        Outcome dead = run(shard -> {
            throw new Permanent("no such bucket");
        });
        assertEquals("permanent", dead.kind());
        assertThrows(AssertionError.class, dead::check);
        assertThrows(IllegalArgumentException.class, () -> new Retry(Duration.ofSeconds(-1), ""));
        assertSame(cause, run(shard -> {
            throw cause;
        }).thrown().get());
    }

    @Test
    void word_of_a_handler_counts_within_what_java_puts_around_it_and_nowhere_else() {
        Outcome hold = run(shard -> CompletableFuture.runAsync(() -> {
            throw new Hold(Duration.ofSeconds(3), "HTTP 429");
        }).join());
        assertEquals("hold", hold.kind());
        assertEquals(Duration.ofSeconds(3), hold.after().get());
        assertEquals("permanent", run(shard -> {
            throw new ExecutionException(new UndeclaredThrowableException(new Permanent("gone")));
        }).kind());
        assertEquals("retry", run(shard -> {
            throw new IllegalStateException(new Permanent("gone"));
        }).kind());
    }

    @Test
    void exception_whose_own_code_is_broken_fails_its_shard() {
        Outcome broken = run(shard -> {
            throw new RuntimeException("odd") {
                private static final long serialVersionUID = 1;

                @Override
                public Throwable getCause() {
                    throw new IllegalStateException("do not look");
                }
            };
        });
        assertEquals("retry", broken.kind());
        assertTrue(broken.error().get().endsWith("odd"), broken.error().get());
        assertEquals("retry", run(shard -> {
            throw new Endless();
        }).kind());
    }

    private static final class Endless extends RuntimeException {
        private static final long serialVersionUID = 1;

        @Override
        public Throwable getCause() {
            return new Endless();
        }
    }

    @Test
    void wrapping_alone_says_nothing_twice_and_circles_have_an_end() {
        Exception inner = new Exception("inner");
        assertEquals("java.lang.RuntimeException: java.lang.Exception: inner", Answer.textOf(new RuntimeException(inner)));
        inner.initCause(new Exception("outer", inner));
        assertEquals("java.lang.Exception: inner: java.lang.Exception: outer", Answer.textOf(inner));
        String text = Answer.textOf(new Permanent(new String(new char[600]).replace("\0", "é")));
        assertEquals(512, text.length());
        assertEquals(java.io.IOException.class.getName(), Answer.textOf(new java.io.IOException()));
    }

    @Test
    void what_the_ledger_has_no_room_for_fails_for_good() {
        Handler[] greedy = {
            shard -> {
                for (int n = 0; n < 16; n++) {
                    shard.count("c" + n);
                }
            },
            shard -> shard.count(new String(new char[49]).replace('\0', 'n')),
            shard -> shard.count(""),
            shard -> shard.result(new String(new char[1025])),
            shard -> {
                shard.count("much", Long.MAX_VALUE);
                shard.count("much");
            },
            shard -> shard.count("rows", -1),
        };
        for (Handler handler : greedy) {
            Outcome outcome = run(handler);
            assertEquals("permanent", outcome.kind(), outcome.toString());
            assertEquals(0, outcome.rows());
        }
        assertEquals("retry", run(shard -> shard.rows(-1)).kind());
    }

    @Test
    void check_stops_a_handler_that_swallows_exceptions_and_a_sleeping_one_is_woken() {
        Handler swallows = shard -> {
            while (true) {
                try {
                    shard.rows();
                    shard.check();
                } catch (Exception ignored) {
                    // As people write it.
                }
            }
        };
        Outcome outcome = Testing.of(swallows).stopAfterChecks(3).run();
        assertEquals("stopped", outcome.kind());
        assertEquals(0, outcome.rows());
        assertFalse(Thread.currentThread().isInterrupted());
    }

    @Test
    void pages_that_a_probe_finds_are_run_and_asked_for_again_where_there_is_no_room() {
        Pages pages = probe -> {
            for (long first = probe.after(0) + 1; first <= 1_000; first += 100) {
                if (!probe.page(first, first + 99)) {
                    return;
                }
            }
        };
        assertEquals(10, Testing.of(shard -> {}).pages(pages).room(3, 786_432).probe().size());
        assertEquals(10, Testing.of(shard -> {}).pages(pages).room(4_096, 40).probe().size());
        List<Long> seen = new ArrayList<>();
        Testing.of(shard -> seen.add(shard.toNumber())).pages(pages).slices(2).runAll().check();
        assertEquals(20, seen.size());
        Pages texts = probe -> {
            for (char c = probe.after("`").charAt(0); c < 'c'; c++) {
                probe.page((char) (c + 1) + "0", (char) (c + 1) + "9");
            }
        };
        assertEquals(Arrays.asList("a0", "a9"), Testing.of(shard -> {}).pages(texts).probe().get(0));
    }

    @Test
    void pages_that_share_a_key_are_out_of_order_or_too_large_are_refused() {
        Pages[] wrong = {
            probe -> {
                probe.page(1, 10);
                probe.page(10, 20);
            },
            probe -> {
                probe.page(11, 20);
                probe.page(1, 10);
            },
            probe -> probe.page(2, 1),
            probe -> {
                probe.page("b", "c");
                probe.page("a", "b");
            },
            probe -> {
                probe.page(1, 2);
                probe.page("a", "b");
            },
            probe -> probe.page("a", new String(new char[257])),
        };
        for (Pages pages : wrong) {
            assertThrows(Permanent.class, () -> Testing.of(shard -> {}).pages(pages).probe());
        }
        assertThrows(Permanent.class, () -> Testing.of(shard -> {}).pages(probe -> probe.page(1, 2)).room(10, 18).probe());
    }

    @Test
    void names_that_no_job_file_can_say_are_refused() {
        Worker worker = Worker.create().handler("a", shard -> {});
        assertThrows(IllegalArgumentException.class, () -> worker.handler("a", shard -> {}));
        assertThrows(IllegalArgumentException.class, () -> worker.handler("Resize", shard -> {}));
        assertThrows(IllegalArgumentException.class, () -> worker.slots(0));
        assertThrows(IllegalStateException.class, () -> Worker.create().run());
        assertThrows(IllegalStateException.class, () -> Worker.create().handler("a", shard -> {}).pages("b", probe -> {}).run());
    }
}
