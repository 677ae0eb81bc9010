package com.acme;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.shardingsphere.elasticjob.api.ShardingContext;
import org.apache.shardingsphere.elasticjob.simple.job.SimpleJob;

/** A job as it stands in somebody's code: knows ElasticJob and nothing else. */
public class OrderJob implements SimpleJob {
    public static final List<String> SEEN = new CopyOnWriteArrayList<>();

    @Override
    public void execute(final ShardingContext context) {
        SEEN.add(context.toString());
        if ("fails".equals(context.getShardingParameter())) {
            throw new IllegalStateException("order of " + context.getShardingItem());
        }
    }
}
