import com.acme.CleanUpJob;
import com.acme.OrderJob;
import gridloom.Worker;
import gridloom.elasticjob.ElasticJobs;

/** All that is written anew for job classes of ElasticJob. */
public final class Moved {
    public static void main(String[] args) {
        Worker worker = Worker.create().slots(4);
        ElasticJobs.of(worker).job(new OrderJob()).job(new CleanUpJob());
        worker.run();
    }
}
