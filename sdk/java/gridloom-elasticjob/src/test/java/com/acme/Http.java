package com.acme;

import org.apache.shardingsphere.elasticjob.api.ShardingContext;
import org.apache.shardingsphere.elasticjob.simple.job.SimpleJob;

/** A job class with the name of a handler. */
public class Http implements SimpleJob {
    @Override
    public void execute(ShardingContext context) {}
}
