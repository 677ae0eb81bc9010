package gridloom.elasticjob;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.acme.CleanUpJob;
import com.acme.OrderJob;
import gridloom.Outcome;
import gridloom.Testing;
import gridloom.Worker;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import org.apache.shardingsphere.elasticjob.api.ElasticJob;
import org.apache.shardingsphere.elasticjob.api.ShardingContext;
import org.apache.shardingsphere.elasticjob.simple.job.SimpleJob;
import org.junit.jupiter.api.Test;

/** Job classes that know nothing of this engine, on what the import makes of their configuration. */
final class ElasticJobsTest {
    private static Testing imported(ElasticJob job) {
        return Testing.of(ElasticJobs.handler(job)).job("order-job").slices(3).param("jobParameter", "007")
                .param("shardingItemParameters", Collections.singletonMap("1", "Shanghai"));
    }

    /** Executes one shard, and gives the context that the class has seen. */
    private static ShardingContext seen(Testing testing, ShardingContext[] seen) {
        testing.run().check();
        return seen[0];
    }

    @Test
    void context_is_filled_as_there() {
        ShardingContext[] box = new ShardingContext[1];
        SimpleJob job = context -> box[0] = context;
        ShardingContext context = seen(imported(job).slice(1), box);
        assertEquals("order-job", context.getJobName());
        assertEquals(3, context.getShardingTotalCount());
        assertEquals(1, context.getShardingItem());
        assertEquals("007", context.getJobParameter());
        assertEquals("Shanghai", context.getShardingParameter());
        String[] task = context.getTaskId().split("@-@");
        assertEquals(Arrays.asList("order-job", "1", "READY"), Arrays.asList(task).subList(0, 3));
        assertTrue(task[3].matches("[0-9.]+") && task[4].matches("[0-9]+"), context.getTaskId());
        assertEquals("test_r_test", task[5]);
    }

    @Test
    void what_was_not_said_is_what_it_is_there() {
        ShardingContext[] box = new ShardingContext[1];
        SimpleJob job = context -> box[0] = context;
        ShardingContext context = seen(Testing.of(ElasticJobs.handler(job)), box);
        assertEquals("", context.getJobParameter());
        assertEquals(null, context.getShardingParameter());
        context = seen(imported(job).param("jobName", "OrderJob").param("jobParameter", 7).slice(2), box);
        assertEquals("OrderJob", context.getJobName());
        assertTrue(context.getTaskId().startsWith("OrderJob@-@2@-@READY@-@"));
        assertEquals("7", context.getJobParameter());
        assertEquals(null, context.getShardingParameter());
    }

    @Test
    void class_is_executed_once_an_item_and_its_exception_is_tried_again() {
        OrderJob.SEEN.clear();
        assertEquals(3, imported(new OrderJob()).runAll().check().outcomes().size());
        assertEquals(3, OrderJob.SEEN.size());
        Outcome failed = imported(new OrderJob()).param("shardingItemParameters", Collections.singletonMap("0", "fails")).run();
        assertEquals("retry", failed.kind());
        assertEquals("java.lang.IllegalStateException: order of 0", failed.error().get());
    }

    @Test
    void data_is_fetched_once_and_until_there_is_none_where_it_streams() {
        CleanUpJob once = new CleanUpJob();
        assertEquals(2, imported(once).run().check().rows());
        assertEquals(Arrays.asList("a1", "b1"), once.processed);
        for (int slice = 0; slice < 2; slice++) {
            CleanUpJob stream = new CleanUpJob();
            Testing streaming = imported(stream).slice(slice).param("props", Collections.singletonMap("streaming.process", "true"));
            assertEquals(6, streaming.run().check().rows());
            assertEquals(6, stream.processed.size());
        }
    }

    @Test
    void stream_stops_between_two_lots_when_its_lease_is_lost() {
        CleanUpJob stream = new CleanUpJob();
        Outcome outcome = imported(stream).param("props", Collections.singletonMap("streaming.process", "true"))
                .stopAfterChecks(2).run();
        assertEquals("stopped", outcome.kind());
        assertEquals(2, stream.processed.size());
    }

    @Test
    void grid_with_pages_is_refused_before_an_item_is_done_twice() {
        OrderJob.SEEN.clear();
        Outcome second = imported(new OrderJob()).page(1).run();
        assertEquals("permanent", second.kind());
        assertEquals("permanent", imported(new OrderJob()).bounds(1, 9).run().kind());
        assertEquals("permanent", imported(new OrderJob()).rows(0, 9).run().kind());
        assertEquals(0, OrderJob.SEEN.size());
    }

    @Test
    void names_are_those_that_the_import_gives() {
        assertEquals("order-job", ElasticJobs.name(new OrderJob()));
        assertEquals("com-acme-order-job", Names.of("com.acme.OrderJob"));
        assertEquals("httpjob2-x", Names.of("HTTPJob2X"));
        assertEquals("elastic-jobs-test-inner", ElasticJobs.name(new Inner()));
        SimpleJob lambda = context -> {};
        assertThrows(IllegalArgumentException.class, () -> ElasticJobs.of(Worker.create()).job(lambda));
        Object proxy = java.lang.reflect.Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {SimpleJob.class}, (self, method, arguments) -> null);
        assertThrows(IllegalArgumentException.class, () -> ElasticJobs.name((SimpleJob) proxy));
        assertThrows(IllegalArgumentException.class, () -> ElasticJobs.of(Worker.create()).job(new OrderJob()).job(new OrderJob()));
        assertThrows(IllegalArgumentException.class, () -> ElasticJobs.handler(new ElasticJob() {}));
    }

    @Test
    void class_that_is_called_like_a_built_in_handler_has_another_name_as_the_import_gives_it() {
        assertEquals("http-job", ElasticJobs.name(new com.acme.Http()));
    }

    private static final class Inner implements SimpleJob {
        @Override
        public void execute(ShardingContext context) {}
    }

    @Test
    void job_classes_know_nothing_of_this_engine() throws Exception {
        for (String name : new String[] {"OrderJob", "CleanUpJob"}) {
            byte[] source = Files.readAllBytes(Paths.get("src/test/java/com/acme/" + name + ".java"));
            assertTrue(!new String(source, StandardCharsets.UTF_8).contains("gridloom"), name);
        }
    }
}
