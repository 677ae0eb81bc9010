package gridloom;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What a child answers, and when: in this process, over a real socket. */
final class ChildTest {
    private final Handlers handlers = new Handlers();
    private final CountDownLatch begun = new CountDownLatch(1);
    private final CountDownLatch go = new CountDownLatch(1);
    private Wire wire;
    private Child child;
    private Thread serving;
    private final CompletableFuture<Boolean> served = new CompletableFuture<>();

    @BeforeEach
    void open() throws Exception {
        java.util.logging.Logger.getLogger("gridloom").setLevel(java.util.logging.Level.SEVERE);
        wire = new Wire();
    }

    @AfterEach
    void close() throws Exception {
        go.countDown();
        wire.close();
    }

    private void start(int slots) throws Exception {
        Crew crew = new Crew(slots);
        child = new Child(Connection.to(wire.address()), handlers, slots, crew);
        serving = new Thread(() -> {
            try {
                served.complete(child.serve(Wire.TOKEN));
            } catch (ProtocolException error) {
                served.completeExceptionally(error);
            } finally {
                crew.close();
            }
        });
        serving.setDaemon(true);
        serving.start();
        wire.accept();
    }

    private boolean ended() throws Exception {
        return served.get(Wire.SOON_MS, TimeUnit.MILLISECONDS);
    }

    private void waits(Shard shard) throws InterruptedException {
        begun.countDown();
        assertTrue(go.await(Wire.SOON_MS, TimeUnit.MILLISECONDS));
    }

    @Test
    void hello_says_who_it_is_and_what_it_can() throws Exception {
        handlers.add("resize", shard -> {});
        handlers.add("count", shard -> {});
        handlers.addPages("count", probe -> {
            probe.page(1, 2);
        });
        start(4);
        assertEquals(Json.read("{\"type\":\"hello\",\"protocol\":[1,1],\"token\":\"" + Wire.TOKEN
                + "\",\"sdk\":\"java 0.1.0\",\"handlers\":[\"resize\",\"count\"],\"probes\":[\"count\"],\"slots\":4}"), wire.hello);
        wire.drain();
        assertTrue(ended());
    }

    @Test
    void tile_is_run_in_order_by_one_thread_and_answered_in_one_frame() throws Exception {
        List<Integer> pages = Collections.synchronizedList(new ArrayList<>());
        HashSet<Thread> threads = new HashSet<>();
        handlers.add("work", shard -> {
            pages.add(shard.page());
            threads.add(Thread.currentThread());
        });
        start(8);
        List<Long> ids = wire.tile(400, "work");
        assertEquals(400, wire.answers(ids).size());
        for (int page = 0; page < 400; page++) {
            assertEquals(page, pages.get(page));
        }
        assertEquals(1, threads.size());
        // Where the machine is busy a moment may end before the tile does.
        assertTrue(wire.frames.size() < 40, () -> wire.frames.size() + " frames");
        wire.drain();
    }

    @Test
    void outcome_does_not_wait_for_the_long_shard_behind_it() throws Exception {
        handlers.add("work", shard -> {
            shard.rows(3);
            shard.count("bytes", 5);
            shard.result("ok");
            if (shard.page() == 1) {
                waits(shard);
            }
        });
        start(1);
        List<Long> ids = wire.tile(2, "work");
        assertEquals(Json.read("{\"id\":1,\"rows\":3,\"counters\":{\"bytes\":5},\"result\":\"ok\",\"type\":\"done\"}"),
                wire.answer(ids.get(0)));
        go.countDown();
        wire.answer(ids.get(1));
    }

    @Test
    void failures_are_told_with_their_kind() throws Exception {
        handlers.add("work", shard -> {
            switch (shard.page()) {
                case 0:
                    throw new Retry(java.time.Duration.ofSeconds(5), "HTTP 503");
                case 1:
                    throw new Permanent("no such bucket");
                case 2:
                    throw new Hold(java.time.Duration.ofMinutes(1), "HTTP 429");
                case 3:
                    throw new StackOverflowError();
                default:
                    throw new java.io.IOException("reset");
            }
        });
        start(1);
        List<Long> ids = wire.tile(5, "work");
        Map<Long, Map<String, Object>> answers = wire.answers(ids);
        String[] wanted = {
            "{\"id\":1,\"kind\":\"retry\",\"after_ms\":5000,\"error\":\"HTTP 503\",\"type\":\"fail\"}",
            "{\"id\":2,\"kind\":\"permanent\",\"error\":\"no such bucket\",\"type\":\"fail\"}",
            "{\"id\":3,\"kind\":\"hold\",\"after_ms\":60000,\"error\":\"HTTP 429\",\"type\":\"fail\"}",
            "{\"id\":4,\"kind\":\"retry\",\"error\":\"java.lang.StackOverflowError\",\"type\":\"fail\"}",
            "{\"id\":5,\"kind\":\"retry\",\"error\":\"java.io.IOException: reset\",\"type\":\"fail\"}",
        };
        for (int i = 0; i < wanted.length; i++) {
            assertEquals(Json.read(wanted[i]), answers.get(ids.get(i)));
        }
        assertEquals("retry", wire.answer(wire.tile(1, "nobody").get(0)).get("kind"));
    }

    @Test
    void slots_run_beside_each_other() throws Exception {
        CountDownLatch all = new CountDownLatch(3);
        handlers.add("work", shard -> {
            all.countDown();
            assertTrue(all.await(Wire.SOON_MS, TimeUnit.MILLISECONDS));
        });
        start(3);
        List<Long> ids = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            ids.addAll(wire.tile(1, "work"));
        }
        wire.answers(ids).values().forEach(answer -> assertEquals("done", answer.get("type")));
    }

    @Test
    void large_results_of_many_shards_have_room_though_nobody_reads_for_a_while() throws Exception {
        // Six signs of JSON each: what is collected meanwhile is more than a frame has room for.
        String large = new String(new char[1024]).replace('\0', '\u0001');
        AtomicInteger ran = new AtomicInteger();
        handlers.add("work", shard -> {
            shard.result(large);
            ran.incrementAndGet();
        });
        start(3);
        List<Long> ids = new ArrayList<>();
        for (int tile = 0; tile < 3; tile++) {
            ids.addAll(wire.tile(1_000, "work"));
        }
        Eventually.is("all have run", () -> ran.get() == 3_000);
        wire.answers(ids).values().forEach(answer -> assertEquals(large, answer.get("result")));
    }

    @Test
    void rows_so_far_are_told_while_it_runs() throws Exception {
        handlers.add("work", shard -> {
            shard.rows(60);
            waits(shard);
        });
        start(1);
        List<Long> ids = wire.tile(1, "work");
        Map<String, Object> told = wire.receive();
        assertEquals(Json.read("{\"type\":\"progress\",\"shards\":[{\"id\":1,\"rows\":60}]}"), told);
        go.countDown();
        wire.answers(ids);
    }

    @Test
    void probe_is_answered_with_its_pages_and_where_to_go_on() throws Exception {
        handlers.add("count", shard -> {});
        handlers.addPages("count", probe -> {
            for (long first = probe.after(0) + 1; first < 3_000 && probe.page(first, first + 999); first += 1_000) {
                // Until there is no room.
            }
        });
        start(1);
        assertEquals(Json.read("{\"type\":\"pages\",\"id\":1,\"pages\":[[1,1000],[1001,2000],[2001,3000]]}"),
                wire.answer(wire.probe("count")));
        assertEquals(Json.read("{\"type\":\"pages\",\"id\":2,\"pages\":[[1001,2000]],\"cursor\":2000}"),
                wire.answer(wire.probe("count", "after", 1_000, "pages_max", 1)));
        assertEquals("fail", wire.answer(wire.probe("nobody")).get("type"));
    }

    @Test
    void stopped_shard_is_interrupted_and_those_behind_and_beside_it_go_on() throws Exception {
        AtomicInteger others = new AtomicInteger();
        handlers.add("work", shard -> {
            if (shard.page() == 0 && shard.attempt() == 1) {
                begun.countDown();
                Thread.sleep(3_600_000);
            }
            assertFalse(Thread.currentThread().isInterrupted());
            others.incrementAndGet();
        });
        start(2);
        List<Long> ids = wire.tile(2, "work");
        begun.await();
        wire.stop("lease", ids.get(0));
        Map<Long, Map<String, Object>> answers = wire.answers(ids);
        assertEquals("stopped", answers.get(ids.get(0)).get("type"));
        assertEquals("done", answers.get(ids.get(1)).get("type"));
        assertEquals("done", wire.answer(wire.tile(1, "work", "attempt", 2).get(0)).get("type"));
        assertEquals(2, others.get());
        wire.drain();
        assertTrue(ended());
    }

    @Test
    void busy_shard_hears_it_at_its_next_check_though_it_swallows_exceptions() throws Exception {
        handlers.add("work", shard -> {
            begun.countDown();
            while (true) {
                try {
                    shard.check();
                } catch (Exception ignored) {
                    // As people write it.
                }
            }
        });
        start(1);
        List<Long> ids = wire.tile(1, "work");
        begun.await();
        wire.stop("cancelled", ids.get(0));
        assertEquals("stopped", wire.answer(ids.get(0)).get("type"));
    }

    @Test
    void what_others_wrapped_an_interrupt_into_is_a_stop_too_and_another_error_is_told() throws Exception {
        handlers.add("work", shard -> {
            begun.countDown();
            try {
                Thread.sleep(3_600_000);
            } catch (InterruptedException error) {
                if (shard.page() == 0) {
                    throw new IllegalStateException("wrapped", error);
                }
                throw new IllegalStateException("the bucket did not answer");
            }
        });
        start(1);
        List<Long> ids = wire.tile(2, "work");
        begun.await();
        wire.stop("time", ids.get(0));
        assertEquals("stopped", wire.answer(ids.get(0)).get("type"));
        // The second may be about to begin: it is either woken, or given back unbegun.
        wire.stop("time", ids.get(1));
        Map<String, Object> second = wire.answer(ids.get(1));
        assertTrue(second.get("type").equals("stopped") || "java.lang.IllegalStateException: the bucket did not answer"
                .equals(second.get("error")), second::toString);
    }

    @Test
    void interrupt_closes_the_channel_of_the_handler_and_not_the_connection() throws Exception {
        Path file = Files.createTempFile("gl", "");
        handlers.add("work", shard -> {
            if (shard.page() > 0) {
                assertFalse(Thread.currentThread().isInterrupted());
                return;
            }
            begun.countDown();
            while (!Thread.currentThread().isInterrupted()) {
                Thread.yield();
            }
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                channel.write(java.nio.ByteBuffer.wrap(new byte[1]));
            }
        });
        start(1);
        List<Long> ids = wire.tile(2, "work");
        begun.await();
        wire.stop("lease", ids.get(0));
        Map<Long, Map<String, Object>> answers = wire.answers(ids);
        assertEquals("stopped", answers.get(ids.get(0)).get("type"));
        assertEquals("done", answers.get(ids.get(1)).get("type"));
        Files.delete(file);
    }

    @Test
    void shards_that_have_not_begun_are_given_back_at_once() throws Exception {
        List<Integer> ran = Collections.synchronizedList(new ArrayList<>());
        handlers.add("work", shard -> {
            ran.add(shard.page());
            waits(shard);
        });
        start(1);
        List<Long> ids = wire.tile(3, "work");
        begun.await();
        wire.stop("lease", ids.get(1), 12_345L);
        assertEquals("stopped", wire.answer(ids.get(1)).get("type"));
        go.countDown();
        wire.answers(Arrays.asList(ids.get(0), ids.get(2)));
        wire.stop("lease", ids.get(0));
        assertEquals(Arrays.asList(0, 2), ran);
        wire.drain();
        assertTrue(ended());
    }

    @Test
    void drain_waits_for_what_runs() throws Exception {
        handlers.add("work", this::waits);
        start(1);
        List<Long> ids = wire.tile(2, "work");
        begun.await();
        wire.send("{\"type\":\"drain\"}");
        wire.stop("lease", ids.get(1));
        // So it has heard both.
        assertEquals("stopped", wire.answer(ids.get(1)).get("type"));
        go.countDown();
        assertEquals("done", wire.answer(ids.get(0)).get("type"));
        assertNull(wire.receive());
        assertTrue(ended());
    }

    @Test
    void connection_that_ends_behind_drain_with_shards_unanswered_is_no_peace() throws Exception {
        handlers.add("work", this::waits);
        start(1);
        wire.tile(1, "work");
        begun.await();
        wire.send("{\"type\":\"drain\"}");
        wire.hangUp();
        assertFalse(ended());
    }

    @Test
    void who_leaves_says_bye_once_and_runs_what_comes_all_the_same() throws Exception {
        handlers.add("work", shard -> {});
        start(1);
        child.leave();
        child.leave();
        serving.interrupt();
        assertEquals("bye", wire.receive().get("type"));
        assertEquals("done", wire.answer(wire.tile(1, "work").get(0)).get("type"));
        wire.drain();
        assertTrue(ended());
    }

    @Test
    void connection_that_ends_without_drain_stops_what_runs() throws Exception {
        CountDownLatch woken = new CountDownLatch(1);
        handlers.add("work", shard -> {
            begun.countDown();
            try {
                Thread.sleep(3_600_000);
            } finally {
                assertTrue(shard.isStopped());
                woken.countDown();
            }
        });
        start(1);
        wire.tile(2, "work");
        begun.await();
        wire.hangUp();
        assertFalse(ended());
        assertTrue(woken.await(Wire.SOON_MS, TimeUnit.MILLISECONDS));
    }

    @Test
    void worker_that_breaks_the_protocol_is_left() throws Exception {
        handlers.add("work", shard -> {});
        start(1);
        wire.send("{\"type\":\"applause\",\"loud\":true}");
        wire.send("{\"type\":\"stop\"}");
        ExecutionException error = assertThrows(ExecutionException.class, this::ended);
        assertTrue(error.getCause() instanceof ProtocolException, error.toString());
        assertNull(wire.receive());
    }

    @Test
    void counts_of_several_threads_are_all_there() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        handlers.add("work", shard -> {
            List<java.util.concurrent.Callable<Void>> parts = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                parts.add(() -> {
                    for (int n = 0; n < 10_000; n++) {
                        shard.rows();
                        shard.count("c");
                    }
                    return null;
                });
            }
            pool.invokeAll(parts);
        });
        start(1);
        Map<String, Object> answer = wire.answer(wire.tile(1, "work").get(0));
        assertEquals(40_000L, answer.get("rows"));
        assertEquals(Collections.singletonMap("c", 40_000L), answer.get("counters"));
        pool.shutdown();
    }
}
