package gridloom.spring;

import gridloom.Worker;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.SmartLifecycle;

/**
 * Runs the worker as long as the application: begins behind all that handlers may need, and ends before that does, when what runs
 * is answered.
 */
public class WorkerLifecycle implements SmartLifecycle {
    private static final Log LOG = LogFactory.getLog(WorkerLifecycle.class);

    private final Worker worker;
    private final ConfigurableApplicationContext context;
    private final boolean closeContext;
    private Thread running;
    private volatile boolean stopping;

    WorkerLifecycle(Worker worker, ConfigurableApplicationContext context, boolean closeContext) {
        this.worker = worker;
        this.context = context;
        this.closeContext = closeContext;
    }

    @Override
    public synchronized void start() {
        if (!worker.hasHandlers()) {
            LOG.debug("no bean is a handler: there is no worker");
            return;
        }
        // No daemon: an application without a server lives as long as its worker.
        running = new Thread(this::run, "gridloom-worker");
        running.start();
    }

    private void run() {
        try {
            worker.run();
            if (!stopping) {
                LOG.info("the worker was told to stop");
            }
        } catch (RuntimeException error) {
            LOG.error("the worker has ended", error);
        }
        if (!stopping && closeContext) {
            // In a thread of its own: closing waits for this one.
            new Thread(context::close, "gridloom-close").start();
        }
    }

    @Override
    public void stop(Runnable whenStopped) {
        stopping = true;
        worker.stop();
        Thread waited = running;
        new Thread(() -> {
            try {
                if (waited != null) {
                    waited.join();
                }
            } catch (InterruptedException impatient) {
                Thread.currentThread().interrupt();
            }
            whenStopped.run();
        }, "gridloom-stop").start();
    }

    @Override
    public void stop() {
        stopping = true;
        worker.stop();
    }

    @Override
    public boolean isRunning() {
        Thread thread = running;
        return thread != null && thread.isAlive();
    }
}
