package gridloom.elasticjob;

import gridloom.Handler;
import gridloom.Params;
import gridloom.Permanent;
import gridloom.Shard;
import gridloom.Worker;
import java.util.List;
import java.util.Objects;
import org.apache.shardingsphere.elasticjob.api.ElasticJob;
import org.apache.shardingsphere.elasticjob.api.ShardingContext;
import org.apache.shardingsphere.elasticjob.dataflow.job.DataflowJob;
import org.apache.shardingsphere.elasticjob.simple.job.SimpleJob;

/**
 * Job classes of ElasticJob as handlers, as they are.
 *
 * <pre>{@code
 * Worker worker = Worker.create();
 * ElasticJobs.of(worker).job(new OrderJob()).job(new CleanUpJob());
 * worker.run();
 * }</pre>
 *
 * <p>What a job was configured with stands in the parameters of its job file, where {@code gridloom import elasticjob} puts it:
 * {@code jobParameter}, {@code shardingItemParameters} by item, {@code props}.
 */
public final class ElasticJobs {
    private static final String STREAMING = "streaming.process";

    private final Worker worker;

    private ElasticJobs(Worker worker) {
        this.worker = worker;
    }

    /** Registers jobs with this worker. */
    public static ElasticJobs of(Worker worker) {
        return new ElasticJobs(Objects.requireNonNull(worker));
    }

    /** A job under the name of its class, as the import names it: {@code OrderJob} is {@code order-job}. */
    public ElasticJobs job(ElasticJob job) {
        return job(name(job), job);
    }

    /** A job under the name that its job file has as {@code handler}. */
    public ElasticJobs job(String handler, ElasticJob job) {
        worker.handler(handler, handler(job));
        return this;
    }

    /** The name of a job's handler, unless another one is said. */
    public static String name(ElasticJob job) {
        return Names.of(job.getClass());
    }

    /** What executes a job: for {@link Worker#handler}, and for tests. */
    public static Handler handler(ElasticJob job) {
        if (job instanceof SimpleJob) {
            return shard -> ((SimpleJob) job).execute(context(shard));
        }
        if (job instanceof DataflowJob) {
            return shard -> flow((DataflowJob<?>) job, shard);
        }
        throw new IllegalArgumentException("the job " + job.getClass().getName() + " is neither a SimpleJob nor a DataflowJob: scripts"
                + " are commands of the handler exec (gridloom import elasticjob writes them)");
    }

    private static <T> void flow(DataflowJob<T> job, Shard shard) {
        ShardingContext context = context(shard);
        boolean streaming = "true".equalsIgnoreCase(text(shard.params().table("props"), STREAMING, "false").trim());
        List<T> data = job.fetchData(context);
        while (data != null && !data.isEmpty()) {
            shard.check();
            job.processData(context, data);
            shard.rows(data.size());
            if (!streaming) {
                return;
            }
            shard.check();
            data = job.fetchData(context);
        }
    }

    /** The context as ElasticJob fills it. */
    static ShardingContext context(Shard shard) {
        if (shard.page() > 0 || shard.hasBounds() || shard.offset().isPresent()) {
            throw new Permanent("a job class of ElasticJob knows items and no pages, and would do each item once for every page:"
                    + " take pages out of the [grid] of its job file");
        }
        Params params = shard.params();
        String name = text(params, "jobName", shard.job());
        String parameter = text(params, "jobParameter", "");
        String own = text(params.table("shardingItemParameters"), Integer.toString(shard.slice()), null);
        return new ShardingContext(name, Instance.taskId(name, shard), shard.slices(), parameter, shard.slice(), own);
    }

    /** There everything was text: a number that somebody has written in a job file becomes one again. */
    private static String text(Params params, String key, String other) {
        Object found = params.get(key);
        return found == null ? other : found.toString();
    }
}
