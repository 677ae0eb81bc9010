package com.acme;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import org.apache.shardingsphere.elasticjob.api.ShardingContext;
import org.apache.shardingsphere.elasticjob.simple.job.SimpleJob;

/** A job as it stands in somebody's code: knows ElasticJob and nothing else. */
public class OrderJob implements SimpleJob {
    @Override
    public void execute(final ShardingContext context) {
        String line = context.getJobName() + " " + context.getShardingItem() + "/" + context.getShardingTotalCount() + " "
                + context.getShardingParameter() + " " + context.getJobParameter() + "\n";
        try {
            Files.write(Paths.get(System.getProperty("orders")), line.getBytes(StandardCharsets.UTF_8),
                    StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (java.io.IOException ex) {
            throw new IllegalStateException(ex);
        }
    }
}
