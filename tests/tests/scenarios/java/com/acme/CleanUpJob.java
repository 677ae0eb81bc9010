package com.acme;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.shardingsphere.elasticjob.api.ShardingContext;
import org.apache.shardingsphere.elasticjob.dataflow.job.DataflowJob;

/** A job as it stands in somebody's code: each item has 25 records, of which ten are fetched at once. */
public class CleanUpJob implements DataflowJob<Integer> {
    private final Map<Integer, Deque<Integer>> left = new ConcurrentHashMap<>();

    @Override
    public List<Integer> fetchData(final ShardingContext context) {
        Deque<Integer> mine = left.computeIfAbsent(context.getShardingItem(), item -> {
            Deque<Integer> all = new ArrayDeque<>();
            for (int n = 0; n < 25; n++) {
                all.add(n);
            }
            return all;
        });
        List<Integer> found = new ArrayList<>();
        for (Integer one : mine) {
            if (found.size() < 10) {
                found.add(one);
            }
        }
        return found;
    }

    @Override
    public void processData(final ShardingContext context, final List<Integer> data) {
        left.get(context.getShardingItem()).removeAll(data);
    }
}
