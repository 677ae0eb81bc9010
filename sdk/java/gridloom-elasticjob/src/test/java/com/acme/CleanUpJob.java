package com.acme;

import java.util.ArrayList;
import java.util.List;
import org.apache.shardingsphere.elasticjob.api.ShardingContext;
import org.apache.shardingsphere.elasticjob.dataflow.job.DataflowJob;

/** A job as it stands in somebody's code: fetches three lots of two, then nothing more. */
public class CleanUpJob implements DataflowJob<String> {
    private int lots;
    public final List<String> processed = new ArrayList<>();

    @Override
    public List<String> fetchData(final ShardingContext context) {
        List<String> found = new ArrayList<>();
        if (lots++ < 3) {
            found.add("a" + lots);
            found.add("b" + lots);
        }
        // Both are an end.
        return found.isEmpty() && context.getShardingItem() == 1 ? null : found;
    }

    @Override
    public void processData(final ShardingContext context, final List<String> data) {
        processed.addAll(data);
    }
}
