package gridloom;

import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Threads for tiles, no more than slots. Daemons: a handler that never ends must not keep the process. */
final class Crew implements AutoCloseable, Executor {
    private static final long IDLE_S = 60;

    private final ThreadPoolExecutor threads;

    Crew(int slots) {
        AtomicInteger number = new AtomicInteger();
        threads = new ThreadPoolExecutor(slots, slots, IDLE_S, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), work -> {
            Thread thread = new Thread(work, "gridloom-" + number.getAndIncrement());
            thread.setDaemon(true);
            return thread;
        });
        threads.allowCoreThreadTimeOut(true);
    }

    @Override
    public void execute(Runnable work) {
        threads.execute(work);
    }

    @Override
    public void close() {
        threads.shutdown();
    }
}
